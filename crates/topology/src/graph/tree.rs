//! A picture as an indented list, for pipelines that are too wide or too tangled to draw.

use std::collections::BTreeSet;

use super::{Ink, Picture};

/// Draws from each spot without lines to it; what was shown before is only named.
pub(crate) fn draw(picture: &Picture, ink: Ink) -> String {
    let mut out = String::new();
    let mut shown = BTreeSet::new();
    for spot in 0..picture.spots.len() {
        if picture.before(spot).next().is_none() {
            branch(picture, ink, (spot, "", ""), &mut shown, &mut out);
        }
    }
    out
}

/// One spot with all that is behind it; `place` is the spot, what leads to it, and the indent.
fn branch(
    picture: &Picture,
    ink: Ink,
    place: (usize, &str, &str),
    shown: &mut BTreeSet<usize>,
    out: &mut String,
) {
    let (spot, lead, indent) = place;
    let label = picture.spots.get(spot).map_or("", |spot| spot.label.as_str());
    let again = !shown.insert(spot) && picture.after(spot).next().is_some();
    let mark = if again { " (above)" } else { "" };
    out.push_str(&format!("{lead}{label}{mark}\n"));
    if again {
        return;
    }
    let next: Vec<usize> = picture.after(spot).collect();
    for (number, after) in next.iter().enumerate() {
        let last = number + 1 == next.len();
        let (turn, bar) = match (ink, last) {
            (Ink::Boxes, true) => ("\u{2514}\u{2500}> ", "    "),
            (Ink::Boxes, false) => ("\u{251c}\u{2500}> ", "\u{2502}   "),
            (Ink::Ascii, true) => ("`-> ", "    "),
            (Ink::Ascii, false) => ("|-> ", "|   "),
        };
        let lead = format!("{indent}{turn}");
        let deeper = format!("{indent}{bar}");
        branch(picture, ink, (*after, &lead, &deeper), shown, out);
    }
}
