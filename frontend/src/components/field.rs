//! Inputs with label, help and failure tied together for screen readers.

use leptos::html;
use leptos::prelude::*;

use super::form::Form;
use super::icon::{Glyph, Icon};

/// The frame of every input: label above, help and failure below. `input` gets the id to carry and the
/// ids that describe it.
pub(crate) fn framed(
    form: Form,
    name: &str,
    label: String,
    help: String,
    optional: bool,
    input: impl FnOnce(FieldIds) -> AnyView,
) -> AnyView {
    let error = form.field(name);
    let id = format!("field-{}", name.replace(['[', ']', '.'], "-"));
    let ids = FieldIds {
        input: id.clone(),
        note: format!("{id}-note"),
        error,
    };
    let note = ids.note.clone();
    let input = input(ids);
    view! {
        <div class="field" class:field-wrong=move || error.get().is_some()>
            <label class="field-label" for=id>
                {label}
                {optional.then(|| view! { <span class="field-optional">"optional"</span> }.into_any())}
            </label>
            {input}
            <div class="field-note" id=note>
                {move || match error.get() {
                    Some(error) => view! {
                        <span class="field-error" role="alert"><Glyph icon=Icon::Warn/><span>{error}</span></span>
                    }
                    .into_any(),
                    None => help.clone().into_any(),
                }}
            </div>
        </div>
    }
    .into_any()
}

/// What an input needs to be tied to its frame.
#[derive(Clone)]
pub(crate) struct FieldIds {
    pub(crate) input: String,
    pub(crate) note: String,
    pub(crate) error: Signal<Option<String>>,
}

impl FieldIds {
    pub(crate) fn invalid(
        &self,
    ) -> impl Fn() -> Option<&'static str> + Copy + Send + Sync + 'static {
        let error = self.error;
        move || error.get().is_some().then_some("true")
    }
}

/// One line of text.
#[component]
pub(crate) fn TextField(
    form: Form,
    /// The field's name in the API, also in the test id `field-<name>`.
    #[prop(into)]
    name: String,
    #[prop(into)] label: String,
    value: RwSignal<String>,
    #[prop(optional, into)] help: String,
    #[prop(optional, into)] placeholder: String,
    /// The input's type.
    #[prop(default = "text")]
    kind: &'static str,
    #[prop(default = "off")] autocomplete: &'static str,
    #[prop(optional)] optional: bool,
    #[prop(optional)] autofocus: bool,
    /// Names, addresses and the like.
    #[prop(optional)]
    mono: bool,
) -> impl IntoView {
    let testid = format!("field-{name}");
    let node = NodeRef::<html::Input>::new();
    if autofocus {
        // The attribute alone works only while a page is parsed.
        Effect::new(move |_| {
            if let Some(node) = node.get() {
                request_animation_frame(move || drop(node.focus()));
            }
        });
    }
    framed(form, &name.clone(), label, help, optional, move |ids| {
        let invalid = ids.invalid();
        view! {
            <input
                node_ref=node
                class="input"
                class:mono=mono
                id=ids.input
                name=name
                type=kind
                data-testid=testid
                placeholder=placeholder
                autocomplete=autocomplete
                autofocus=autofocus
                spellcheck="false"
                autocapitalize="none"
                aria-describedby=ids.note
                aria-invalid=invalid
                required=!optional
                bind:value=value
            />
        }
        .into_any()
    })
}

/// Several lines of text.
#[component]
pub(crate) fn TextArea(
    form: Form,
    #[prop(into)] name: String,
    #[prop(into)] label: String,
    value: RwSignal<String>,
    #[prop(optional, into)] help: String,
    #[prop(optional, into)] placeholder: String,
    #[prop(default = 3)] rows: u32,
    #[prop(optional)] optional: bool,
    #[prop(optional)] autofocus: bool,
    #[prop(optional)] mono: bool,
) -> impl IntoView {
    let testid = format!("field-{name}");
    framed(form, &name.clone(), label, help, optional, move |ids| {
        let invalid = ids.invalid();
        view! {
            <textarea
                class="input"
                class:mono=mono
                id=ids.input
                name=name
                rows=rows
                data-testid=testid
                placeholder=placeholder
                autofocus=autofocus
                spellcheck="false"
                aria-describedby=ids.note
                aria-invalid=invalid
                required=!optional
                prop:value=value
                on:input:target=move |event| value.set(event.target().value())
            ></textarea>
        }
        .into_any()
    })
}

/// An entry of a [`SelectField`]: value, label, and whether it can be chosen.
pub(crate) type Entry = (String, String, bool);

/// One of several.
#[component]
pub(crate) fn SelectField(
    form: Form,
    #[prop(into)] name: String,
    #[prop(into)] label: String,
    value: RwSignal<String>,
    #[prop(into)] entries: Signal<Vec<Entry>>,
    #[prop(optional, into)] help: String,
    #[prop(optional)] optional: bool,
) -> impl IntoView {
    let testid = format!("field-{name}");
    framed(form, &name.clone(), label, help, optional, move |ids| {
        let invalid = ids.invalid();
        view! {
            <span class="select">
                <select
                    class="input"
                    id=ids.input
                    name=name
                    data-testid=testid
                    aria-describedby=ids.note
                    aria-invalid=invalid
                    required=!optional
                    on:change:target=move |event| value.set(event.target().value())
                >
                    {move || {
                        let chosen = value.get();
                        entries
                            .get()
                            .into_iter()
                            .map(|(key, label, open)| {
                                let selected = key == chosen;
                                view! { <option value=key disabled=!open selected=selected prop:selected=selected>{label}</option> }.into_any()
                            })
                            .collect_view()
                    }}
                </select>
                <Glyph icon=Icon::ChevronDown/>
            </span>
        }
        .into_any()
    })
}

/// On or off.
#[component]
pub(crate) fn Switch(
    #[prop(into)] name: String,
    #[prop(into)] label: String,
    value: RwSignal<bool>,
    #[prop(optional, into)] help: String,
) -> impl IntoView {
    let id = format!("field-{name}");
    let note = format!("{id}-note");
    view! {
        <div class="field field-switch">
            <input
                class="switch"
                type="checkbox"
                role="switch"
                id=id.clone()
                name=name
                data-testid=id.clone()
                aria-describedby=note.clone()
                bind:checked=value
            />
            <div>
                <label class="field-label" for=id>{label}</label>
                <div class="field-note" id=note>{help}</div>
            </div>
        </div>
    }
    .into_any()
}

/// A choice between two or three, as a row of buttons.
#[component]
pub(crate) fn Segments(
    #[prop(into)] label: String,
    #[prop(into)] name: String,
    /// Value and words.
    entries: Vec<(&'static str, &'static str)>,
    value: RwSignal<String>,
) -> impl IntoView {
    let entries = entries
        .into_iter()
        .map(|(key, words)| {
            view! {
                <label class="segment" data-testid=format!("{name}-{key}")>
                    <input
                        type="radio"
                        name=name.clone()
                        value=key
                        prop:checked=move || value.get() == key
                        on:change=move |_| value.set(key.into())
                    />
                    <span>{words}</span>
                </label>
            }
            .into_any()
        })
        .collect_view();
    view! { <div class="segments" role="radiogroup" aria-label=label>{entries}</div> }.into_any()
}
