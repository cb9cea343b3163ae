use super::*;

pub(super) fn import(move_token: bool) -> Example {
    Example {
        workflow: "import",
        inputs: lab::inputs(&[
            ("cluster", FieldValue::Id(1)),
            ("move_token", FieldValue::Bool(move_token)),
        ]),
        inventory: lab::inventory(),
        lab: || balanced(lab::foreign_lab(" --token hunter2hunter2")),
        counted: false,
    }
}

conforms! {
    import_as_it_is: import(false),
    import_and_move_tokens: import(true),
}

survives_death! {
    import_survives_death_at_each_point: import(true),
}
