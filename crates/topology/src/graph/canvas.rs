//! Drawing a placed picture: labels, and between two layers a channel of tracks for the lines.
//!
//! All lines of one point share a track. Tracks are put in an order in which no line can be
//! mistaken for another; where there is none, nothing is drawn and the list is used instead.

use std::collections::BTreeSet;

use super::layout::Layout;
use super::{Ink, Picture};

const UP: u8 = 1;
const DOWN: u8 = 2;
const LEFT: u8 = 4;
const RIGHT: u8 = 8;

/// One character of the drawing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    Blank,
    Label(char),
    Arrow,
    /// Where the line goes, and whose it is.
    Line(u8, usize),
    /// Two lines that have nothing to do with one another.
    Crossing,
}

/// A drawing.
pub(crate) struct Canvas {
    cells: Vec<Vec<Cell>>,
}

impl Canvas {
    /// Draws; `None` when lines could be mistaken for one another.
    pub(crate) fn of(picture: &Picture, layout: &Layout) -> Option<Self> {
        let height = layout.points.iter().map(|point| point.row + 1).max().unwrap_or(0);
        let mut canvas = Self { cells: vec![Vec::new(); height] };
        let mut column = 0;
        for (index, members) in layout.layers.iter().enumerate() {
            let label = |point: &usize| {
                let spot = layout.points.get(*point)?.spot?;
                picture.spots.get(spot).map(|spot| spot.label.clone())
            };
            let labels: Vec<(usize, Option<String>)> =
                members.iter().map(|point| (*point, label(point))).collect();
            let long = |label: &(usize, Option<String>)| {
                label.1.as_ref().map_or(0, |label| label.chars().count())
            };
            let width = labels.iter().map(long).max().unwrap_or(0);
            let last = index + 1 == layout.layers.len();
            for (point, label) in &labels {
                let Some(placed) = layout.points.get(*point) else { continue };
                canvas.label(placed.row, column, label.as_deref());
                let written = label.as_ref().map_or(0, |label| label.chars().count() + 1);
                if !placed.next.is_empty() {
                    let from = column + written;
                    canvas.across(placed.row, from, column + width + 1, *point);
                }
            }
            column += width + 1;
            if !last {
                column = canvas.channel(layout, members, column)?;
            }
        }
        Some(canvas)
    }

    fn label(&mut self, row: usize, column: usize, label: Option<&str>) {
        for (offset, c) in label.unwrap_or("").chars().enumerate() {
            self.set(row, column + offset, Cell::Label(c));
        }
    }

    /// Draws the lines between two layers; returns where the next layer begins.
    fn channel(&mut self, layout: &Layout, members: &[usize], column: usize) -> Option<usize> {
        let tracks = tracks(layout, members)?;
        // Two columns per track keep the bends apart, and the arrow takes three more.
        let end = column + tracks.len() * 2 + 1;
        for (number, track) in tracks.iter().enumerate() {
            let at = column + number * 2 + 1;
            let top = track.exits.first().min(track.entries.first()).copied()?;
            let bottom = track.exits.last().max(track.entries.last()).copied()?;
            for row in &track.exits {
                self.across(*row, column, at, track.owner);
            }
            for row in top..=bottom {
                let mut to = if row > top { UP } else { 0 } | if row < bottom { DOWN } else { 0 };
                to |= if track.exits.contains(&row) { LEFT } else { 0 };
                to |= if track.entries.contains(&row) { RIGHT } else { 0 };
                self.line(row, at, to, track.owner);
            }
            for row in &track.entries {
                self.across(*row, at + 1, end, track.owner);
            }
        }
        let targets: BTreeSet<usize> = members
            .iter()
            .filter_map(|point| layout.points.get(*point))
            .flat_map(|point| point.next.iter().copied())
            .collect();
        for target in targets {
            let point = layout.points.get(target)?;
            if point.spot.is_some() {
                self.set(point.row, end, Cell::Arrow);
            } else {
                self.across(point.row, end, end + 2, target);
            }
        }
        Some(end + 2)
    }

    /// A horizontal line from one column up to, and without, another.
    fn across(&mut self, row: usize, from: usize, to: usize, owner: usize) {
        for column in from..to {
            self.line(row, column, LEFT | RIGHT, owner);
        }
    }

    fn line(&mut self, row: usize, column: usize, to: u8, owner: usize) {
        let cell = match self.at(row, column) {
            Cell::Line(known, other) if other != owner && crosses(known, to) => Cell::Crossing,
            Cell::Line(known, _) => Cell::Line(known | to, owner),
            Cell::Crossing => Cell::Crossing,
            Cell::Blank | Cell::Label(_) | Cell::Arrow => Cell::Line(to, owner),
        };
        self.set(row, column, cell);
    }

    fn at(&self, row: usize, column: usize) -> Cell {
        self.cells.get(row).and_then(|row| row.get(column)).copied().unwrap_or(Cell::Blank)
    }

    fn set(&mut self, row: usize, column: usize, cell: Cell) {
        let Some(cells) = self.cells.get_mut(row) else { return };
        if cells.len() <= column {
            cells.resize(column + 1, Cell::Blank);
        }
        if let Some(place) = cells.get_mut(column) {
            *place = cell;
        }
    }

    /// The drawing as text.
    pub(crate) fn text(&self, ink: Ink) -> String {
        let mut out = String::new();
        for row in &self.cells {
            let line: String = row.iter().map(|cell| glyph(*cell, ink)).collect();
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

/// Whether one of them only passes from side to side and the other one only up and down.
fn crosses(left: u8, right: u8) -> bool {
    let (flat, upright) = (LEFT | RIGHT, UP | DOWN);
    (left == flat && right == upright) || (left == upright && right == flat)
}

fn glyph(cell: Cell, ink: Ink) -> char {
    match (cell, ink) {
        (Cell::Blank, _) => ' ',
        (Cell::Label(c), _) => c,
        (Cell::Arrow, _) => '>',
        (Cell::Crossing, Ink::Boxes) => '\u{2502}',
        (Cell::Crossing, Ink::Ascii) => '|',
        (Cell::Line(to, _), Ink::Ascii) => match to {
            t if t & (UP | DOWN) == 0 => '-',
            t if t & (LEFT | RIGHT) == 0 => '|',
            _ => '+',
        },
        (Cell::Line(to, _), Ink::Boxes) => {
            const GLYPHS: [char; 16] = [
                ' ', '\u{2502}', '\u{2502}', '\u{2502}', '\u{2500}', '\u{2518}', '\u{2510}',
                '\u{2524}', '\u{2500}', '\u{2514}', '\u{250c}', '\u{251c}', '\u{2500}', '\u{2534}',
                '\u{252c}', '\u{253c}',
            ];
            GLYPHS[usize::from(to & 15)]
        }
    }
}

/// A vertical line with the rows that lead into it and out of it. Points that send to the same
/// targets share one.
struct Track {
    owner: usize,
    exits: BTreeSet<usize>,
    entries: BTreeSet<usize>,
}

/// The tracks behind a layer from left to right; `None` when every order would let lines run
/// together that have different targets.
fn tracks(layout: &Layout, members: &[usize]) -> Option<Vec<Track>> {
    let mut open: Vec<Track> = Vec::new();
    for index in members {
        let point = layout.points.get(*index)?;
        let next = point.next.iter().filter_map(|next| layout.points.get(*next));
        let entries: BTreeSet<usize> = next.map(|next| next.row).collect();
        if entries.is_empty() {
            continue;
        }
        match open.iter_mut().find(|track| track.entries == entries) {
            Some(track) => {
                track.exits.insert(point.row);
            }
            None => {
                let exits = BTreeSet::from([point.row]);
                open.push(Track { owner: *index, exits, entries });
            }
        }
    }
    // A line that turns into a row must do so behind the point that leaves on this row, or the two
    // would be one line from there on.
    let must_precede = |left: &Track, right: &Track| !left.exits.is_disjoint(&right.entries);
    let mut tracks = Vec::new();
    while !open.is_empty() {
        let first = (0..open.len()).find(|candidate| {
            let Some(right) = open.get(*candidate) else { return false };
            open.iter().enumerate().all(|(at, left)| at == *candidate || !must_precede(left, right))
        })?;
        tracks.push(open.remove(first));
    }
    Some(tracks)
}
