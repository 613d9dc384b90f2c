//! A text of the configuration, changed to say something else about some of its tables.

use serde_json::Map;
use serde_json::Value as Json;

use crate::config::edit::brackets;
use crate::config::edit::compare;
use crate::config::edit::compare::Fate;
use crate::config::edit::headings::HeadedChild;
use crate::config::edit::headings::HeadedTable;
use crate::config::edit::lines::TextChange;
use crate::config::edit::render;
use crate::config::in_order;

/// Changes an object with headers, or takes it out.
pub(super) fn element(
    change: &mut TextChange<'_>,
    object: &HeadedTable,
    name: &str,
    wanted: Option<&Map<String, Json>>,
) {
    match wanted {
        Some(wanted) if object.to_json(change.outline) == *wanted => {}
        Some(wanted) => table(change, object, &[name.to_owned()], wanted),
        None => remove_sections(change, &object.sections()),
    }
}

/// Changes what a table with headers says; `path` is that of its header.
fn table(change: &mut TextChange<'_>, table: &HeadedTable, path: &[String], wanted: &Map<String, Json>) {
    let mut fresh: Vec<(Vec<String>, Json)> = Vec::new();
    for (key, child) in &table.children {
        let path = [path, std::slice::from_ref(key)].concat();
        if self::child(change, (table, child), &path, wanted.get(key)) {
            continue;
        }
        remove_sections(change, &child.sections());
        remove_assignments(change, table, key);
        fresh.extend(wanted.get(key).map(|value| (vec![key.clone()], value.clone())));
    }
    let is_elsewhere = |key: &str| table.child(key).is_some();
    let own = table.section.map(|section| (section, &change.outline.sections[section].assignments));
    let plan = compare::plan(own.map_or(&[], |(_, assignments)| assignments), wanted, is_elsewhere);
    if let Some((section, assignments)) = own {
        for (index, (assignment, fate)) in assignments.iter().zip(&plan.fates).enumerate() {
            match fate {
                Fate::Kept => {}
                Fate::Changed(value) => {
                    let text = brackets::rewritten(change.text, &assignment.value, value);
                    change.replace(assignment.value.span.clone(), text);
                }
                Fate::Dropped => change.remove_assignment(section, index),
            }
        }
    }
    fresh.extend(plan.additions);
    add(change, table, path, fresh);
}

/// Changes a table or list that has headers of its own. False: it has to be written anew, or to go.
fn child(
    change: &mut TextChange<'_>,
    (parent, child): (&HeadedTable, &HeadedChild),
    path: &[String],
    wanted: Option<&Json>,
) -> bool {
    let Some(key) = path.last() else { return false };
    let said = parent.to_json_of(key, change.outline);
    if wanted == said.as_ref() {
        return true;
    }
    if parent.has_assignments_of(key, change.outline) {
        return false;
    }
    match (child, wanted) {
        (HeadedChild::Table(inner), Some(Json::Object(wanted))) => {
            table(change, inner, path, wanted);
            true
        }
        (HeadedChild::List(elements), Some(Json::Array(wanted)))
            if !wanted.is_empty() && wanted.iter().all(Json::is_object) =>
        {
            let old: Vec<Json> =
                elements.iter().map(|element| Json::Object(element.to_json(change.outline))).collect();
            list(change, elements, path, (wanted, &compare::align(&old, wanted)));
            true
        }
        _ => false,
    }
}

/// Changes a list of tables with headers; `places` tells of each new element which it was.
fn list(
    change: &mut TextChange<'_>,
    elements: &[HeadedTable],
    path: &[String],
    (wanted, places): (&[Json], &[Option<usize>]),
) {
    for (index, element) in elements.iter().enumerate() {
        if !places.contains(&Some(index)) {
            remove_sections(change, &element.sections());
        }
    }
    let first = places.iter().flatten().next().and_then(|place| elements.get(*place));
    let mut at = match first {
        Some(first) => first.section.map_or(0, |section| change.section_start(section)),
        None => elements.last().map_or(change.text.len(), |last| end_of(change, last)),
    };
    let is_above = first.is_some();
    let mut is_first = true;
    for (settings, place) in wanted.iter().zip(places) {
        let Json::Object(settings) = settings else { continue };
        match place.and_then(|place| elements.get(place)) {
            Some(element) => {
                table(change, element, path, settings);
                at = end_of(change, element);
                is_first = false;
            }
            None => {
                let section = render::section(path, settings, true, change.eol);
                let eol = change.eol;
                let lines =
                    if is_above && is_first { format!("{section}{eol}") } else { format!("{eol}{section}") };
                change.insert(at, lines);
            }
        }
    }
}

/// Where a table ends, with those in it.
fn end_of(change: &TextChange<'_>, table: &HeadedTable) -> usize {
    table.sections().into_iter().map(|section| change.section_end(section)).max().unwrap_or(0)
}

/// Adds keys, each with dots where the table has such.
fn add(
    change: &mut TextChange<'_>,
    table: &HeadedTable,
    path: &[String],
    additions: Vec<(Vec<String>, Json)>,
) {
    let is_headed = |keys: &[String], value: &Json| match keys {
        [key] => render::is_headed(path, key, value),
        _ => false,
    };
    let (headed, plain): (Vec<_>, Vec<_>) =
        additions.into_iter().partition(|(keys, value)| is_headed(keys, value));
    match table.section {
        Some(section) => {
            for (keys, value) in &plain {
                let prefix = keys.split_last().map_or(&[][..], |(_, prefix)| prefix);
                let line = render::assignment(keys, value, change.eol);
                let lines = format!("{}{line}{}", change.indent(section), change.eol);
                change.insert(change.place_of_key(section, prefix), lines);
            }
        }
        None if !plain.is_empty() => {
            let settings = in_order::object(
                plain.into_iter().filter_map(|(mut keys, value)| Some((keys.pop()?, value))),
            );
            let section = render::section(path, &settings, false, change.eol);
            change.insert(end_of(change, table), format!("{}{section}", change.eol));
        }
        None => {}
    }
    for (keys, value) in &headed {
        let Some(key) = keys.first() else { continue };
        let sections = render::sections_of(path, key, value, change.eol);
        change.insert(end_of(change, table), sections);
    }
}

fn remove_sections(change: &mut TextChange<'_>, sections: &[usize]) {
    sections.iter().for_each(|section| change.remove_section(*section));
}

fn remove_assignments(change: &mut TextChange<'_>, table: &HeadedTable, key: &str) {
    let Some(section) = table.section else { return };
    let outline = change.outline;
    for (index, assignment) in outline.sections[section].assignments.iter().enumerate() {
        if assignment.path.first().is_some_and(|first| first == key) {
            change.remove_assignment(section, index);
        }
    }
}
