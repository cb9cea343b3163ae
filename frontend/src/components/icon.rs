//! The icons: one stroke path each on a 16 by 16 grid, drawn for this page.

use leptos::prelude::*;

/// An icon of the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Icon {
    Approvals,
    Arrow,
    Audit,
    Auto,
    Bolt,
    Check,
    ChevronDown,
    ChevronRight,
    Circle,
    Close,
    Clusters,
    Copy,
    Cross,
    Down,
    Download,
    Edit,
    Flag,
    Host,
    Info,
    Key,
    Lock,
    Moon,
    Pause,
    Play,
    Plus,
    Question,
    Retry,
    Runs,
    Search,
    Settings,
    SignOut,
    Skip,
    Spinner,
    Stop,
    Sun,
    Trash,
    Undo,
    Up,
    Warn,
    Wrap,
}

impl Icon {
    fn path(self) -> &'static str {
        match self {
            Icon::Approvals => {
                "M8 1.8l5 1.9v3.9c0 3.2-2.1 5.4-5 6.6-2.9-1.2-5-3.4-5-6.6V3.7zM5.7 8l1.7 1.7 3-3.3"
            }
            Icon::Arrow => "M3 8h10M9 4l4 4-4 4",
            Icon::Audit => "M4 1.8h6l2.5 2.5v9.9h-8.5zM6.3 6.5h4M6.3 9h4M6.3 11.5h2.5",
            Icon::Auto => "M2 3h12v8H2zM6 14h4M8 11v3",
            Icon::Bolt => "M9 1.5 3.5 9H8l-1 5.5L12.5 7H8z",
            Icon::Check => "M3 8.5 6.5 12 13 4.5",
            Icon::ChevronDown => "M4 6l4 4 4-4",
            Icon::ChevronRight => "M6 4l4 4-4 4",
            Icon::Circle => "M8 3a5 5 0 1 1 0 10A5 5 0 0 1 8 3z",
            Icon::Close => "M4 4l8 8M12 4l-8 8",
            Icon::Clusters => {
                "M8 1.7l2.8 1.6v3.2L8 8.1 5.2 6.5V3.3zM4.5 8l2.8 1.6v3.1l-2.8 1.6-2.8-1.6V9.6zM11.5 8l2.8 1.6v3.1l-2.8 1.6-2.8-1.6V9.6z"
            }
            Icon::Copy => {
                "M5.5 5.5V3a1 1 0 0 1 1-1H13a1 1 0 0 1 1 1v6.5a1 1 0 0 1-1 1h-2.5M2 6.5a1 1 0 0 1 1-1h6.5a1 1 0 0 1 1 1V13a1 1 0 0 1-1 1H3a1 1 0 0 1-1-1z"
            }
            Icon::Cross => "M4.5 4.5l7 7M11.5 4.5l-7 7",
            Icon::Down => "M8 3v10M4 9l4 4 4-4",
            Icon::Download => "M8 2v8M4.5 7 8 10.5 11.5 7M2.5 13.5h11",
            Icon::Edit => {
                "M2.5 13.5l.6-3L10.8 2.8a1.3 1.3 0 0 1 1.9 0l.5.5a1.3 1.3 0 0 1 0 1.9L5.5 12.9z"
            }
            Icon::Flag => "M4 14.5V2M4 2.5h8.5L10.5 5.5l2 3H4",
            Icon::Host => {
                "M2.5 2.5h11v4.5h-11zM2.5 9h11v4.5h-11zM5 4.75h.01M5 11.25h.01M8 4.75h3M8 11.25h3"
            }
            Icon::Info => "M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2zM8 7.3v3.7M8 5h.01",
            Icon::Key => {
                "M10.5 2a3.5 3.5 0 1 1-2.3 6.1L3.5 13H2v-1.5L6.9 7A3.5 3.5 0 0 1 10.5 2zM11 5h.01"
            }
            Icon::Lock => "M3.5 7h9v6.5h-9zM5.5 7V4.8a2.5 2.5 0 0 1 5 0V7",
            Icon::Moon => "M13.5 9.5A6 6 0 0 1 6.5 2.5a6 6 0 1 0 7 7z",
            Icon::Pause => "M5.5 3.5v9M10.5 3.5v9",
            Icon::Play => "M4.5 2.8 12.5 8l-8 5.2z",
            Icon::Plus => "M8 3v10M3 8h10",
            Icon::Question => "M5.8 6a2.2 2.2 0 1 1 3.3 1.9c-.7.4-1.1.8-1.1 1.6v.3M8 12.3h.01",
            Icon::Retry => "M13.5 8A5.5 5.5 0 1 1 11.7 4M13.5 1.8V5h-3.2",
            Icon::Runs => "M3 3.5h.01M3 8h.01M3 12.5h.01M6 3.5h7.5M6 8h7.5M6 12.5h5",
            Icon::Search => "M7 2.5a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9zM10.3 10.3 14 14",
            Icon::Settings => {
                "M2 4.5h6.5M12 4.5h2M2 11.5h2M7.5 11.5H14M10.2 2.7a1.8 1.8 0 1 1 0 3.6 1.8 1.8 0 0 1 0-3.6zM5.8 9.7a1.8 1.8 0 1 1 0 3.6 1.8 1.8 0 0 1 0-3.6z"
            }
            Icon::SignOut => "M6 2.5H3v11h3M7 8h7M11 5l3 3-3 3",
            Icon::Skip => "M1.5 8.5 4.5 11.5 10 5M7.5 11l.5.5L14.5 5",
            Icon::Spinner => "M8 2a6 6 0 1 1-6 6",
            Icon::Stop => "M4 4h8v8H4z",
            Icon::Sun => {
                "M8 5a3 3 0 1 1 0 6 3 3 0 0 1 0-6zM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1.1 1.1M11.9 11.9 13 13M3 13l1.1-1.1M11.9 4.1 13 3"
            }
            Icon::Trash => "M2.5 4h11M6 4V2.3h4V4M4 4l.6 9.7h6.8L12 4M6.7 6.8v4.2M9.3 6.8v4.2",
            Icon::Undo => "M5.5 2.5 2.5 5.5l3 3M2.5 5.5h7a4 4 0 0 1 0 8H6",
            Icon::Up => "M8 13V3M4 7l4-4 4 4",
            Icon::Warn => "M8 2 14.5 13.5h-13zM8 6.5v3.3M8 11.7h.01",
            Icon::Wrap => {
                "M2 3.5h12M2 8h9.5a2.5 2.5 0 0 1 0 5H9M10.7 11.2 8.8 13l1.9 1.8M2 12.5h3.5"
            }
        }
    }
}

/// Draws an icon; hidden from screen readers, the words beside it speak.
#[component]
pub(crate) fn Glyph(#[prop(into)] icon: Signal<Icon>) -> impl IntoView {
    view! {
        <svg class="icon" class:spin=move || icon.get() == Icon::Spinner viewBox="0 0 16 16" aria-hidden="true">
            <path d=move || icon.get().path()/>
        </svg>
    }.into_any()
}

/// The mark: crossed oars.
#[component]
pub(crate) fn Mark() -> impl IntoView {
    view! {
        <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
            <path class="mark-shafts" d="M5 28 22 10M27 28 10 10"/>
            <path class="mark-blades" d="m22.5 9.5 4-4.5M9.5 9.5 5.5 5"/>
        </svg>
    }
    .into_any()
}
