//! The parts all pages are built from.

pub(crate) mod axis;
pub(crate) mod badge;
pub(crate) mod button;
pub(crate) mod callout;
pub(crate) mod code;
pub(crate) mod dialog;
pub(crate) mod empty;
pub(crate) mod field;
pub(crate) mod form;
pub(crate) mod icon;
pub(crate) mod keyed;
pub(crate) mod keys;
pub(crate) mod palette;
pub(crate) mod panel;
pub(crate) mod theme;
pub(crate) mod time;
pub(crate) mod toast;
pub(crate) mod when;
