//! Where the spots of a picture stand: layers from left to right, rows from top to bottom.

use std::collections::BTreeMap;

use super::Picture;

/// How often the order within the layers is improved; small graphs settle after a few sweeps.
const SWEEPS: usize = 6;

/// Rows between two spots of one layer, so that a line fits in between.
const ROWS_APART: usize = 2;

/// The row at which placing begins; rows above it are free until the end.
const MIDDLE: usize = 10_000;

/// The most spots and bends that are drawn as a picture; beyond it nobody could follow the lines.
const POINTS_MAX: usize = 400;

/// A point of a layer: a spot, or a bend of a line that runs past the layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Point {
    /// The spot; `None` for a bend.
    pub(crate) spot: Option<usize>,
    pub(crate) layer: usize,
    pub(crate) row: usize,
    /// The points of the next layer that it has lines to.
    pub(crate) next: Vec<usize>,
}

/// The points of a picture with their places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) points: Vec<Point>,
    /// The points of each layer, from top to bottom.
    pub(crate) layers: Vec<Vec<usize>>,
}

impl Layout {
    /// Places a picture; `None` when it is too large.
    pub(crate) fn of(picture: &Picture) -> Option<Self> {
        let mut layout = Self { points: Vec::new(), layers: Vec::new() };
        let layer_of = layers(picture);
        for (spot, layer) in layer_of.iter().enumerate() {
            layout.point(Some(spot), *layer);
        }
        for (from, to, _) in &picture.lines {
            let (Some(first), Some(last)) = (layer_of.get(*from), layer_of.get(*to)) else {
                continue;
            };
            let mut at = *from;
            for layer in first + 1..*last {
                if layout.points.len() >= POINTS_MAX {
                    return None;
                }
                let bend = layout.point(None, layer);
                layout.link(at, bend);
                at = bend;
            }
            layout.link(at, *to);
        }
        if layout.points.len() > POINTS_MAX {
            return None;
        }
        layout.order();
        layout.rows();
        Some(layout)
    }

    fn point(&mut self, spot: Option<usize>, layer: usize) -> usize {
        let index = self.points.len();
        self.points.push(Point { spot, layer, row: MIDDLE, next: Vec::new() });
        if self.layers.len() <= layer {
            self.layers.resize(layer + 1, Vec::new());
        }
        if let Some(members) = self.layers.get_mut(layer) {
            members.push(index);
        }
        index
    }

    fn link(&mut self, from: usize, to: usize) {
        if let Some(point) = self.points.get_mut(from)
            && !point.next.contains(&to)
        {
            point.next.push(to);
        }
    }

    fn neighbours(&self, point: usize, forwards: bool) -> Vec<usize> {
        if forwards {
            return self.points.get(point).map(|point| point.next.clone()).unwrap_or_default();
        }
        let leads = |other: &usize| {
            self.points.get(*other).is_some_and(|other| other.next.contains(&point))
        };
        (0..self.points.len()).filter(leads).collect()
    }

    /// Moves points towards the middle of their neighbours, so that few lines cross.
    fn order(&mut self) {
        for sweep in 0..SWEEPS {
            let forwards = sweep % 2 == 1;
            let mut place: BTreeMap<usize, usize> = BTreeMap::new();
            for members in &self.layers {
                place.extend(members.iter().enumerate().map(|(at, point)| (*point, at)));
            }
            for layer in 0..self.layers.len() {
                let members = self.layers.get(layer).cloned().unwrap_or_default();
                let mut keyed: Vec<(usize, usize, usize)> = Vec::new();
                for (at, point) in members.iter().enumerate() {
                    let near = self.neighbours(*point, forwards);
                    let sum: usize = near.iter().filter_map(|other| place.get(other)).sum();
                    // Thousandths keep the mean of small whole numbers apart.
                    let mean = if near.is_empty() { at * 1_000 } else { sum * 1_000 / near.len() };
                    keyed.push((mean, at, *point));
                }
                keyed.sort_unstable();
                let sorted: Vec<usize> = keyed.into_iter().map(|(_, _, point)| point).collect();
                place.extend(sorted.iter().enumerate().map(|(at, point)| (*point, at)));
                if let Some(members) = self.layers.get_mut(layer) {
                    *members = sorted;
                }
            }
        }
    }

    /// Gives every point its row: near the middle of its neighbours, in the layer's order.
    fn rows(&mut self) {
        for layer in 0..self.layers.len() {
            self.settle(layer, false);
        }
        for layer in (0..self.layers.len()).rev() {
            self.settle(layer, true);
        }
        let top = self.points.iter().map(|point| point.row).min().unwrap_or(0);
        for point in &mut self.points {
            point.row -= top;
        }
    }

    fn settle(&mut self, layer: usize, forwards: bool) {
        let members = self.layers.get(layer).cloned().unwrap_or_default();
        let mut rows: Vec<usize> = Vec::new();
        let mut pushed = 0;
        for point in &members {
            let near = self.neighbours(*point, forwards);
            let beside: Vec<usize> =
                near.iter().filter_map(|other| self.points.get(*other)).map(|p| p.row).collect();
            let old = self.points.get(*point).map_or(MIDDLE, |point| point.row);
            let lowest = beside.iter().min().copied().unwrap_or(old);
            let highest = beside.iter().max().copied().unwrap_or(old);
            let wanted = lowest.midpoint(highest);
            let free = rows.last().map_or(0, |row| row + ROWS_APART);
            rows.push(wanted.max(free));
            pushed += wanted.max(free) - wanted;
        }
        // What was pushed down to make room is shared among all, so that they stand around the
        // middle of their neighbours.
        let share = pushed / members.len().max(1);
        for (point, row) in members.iter().zip(rows) {
            if let Some(point) = self.points.get_mut(*point) {
                point.row = row.saturating_sub(share);
            }
        }
    }
}

/// The layer of each spot: one more than the last of those before it. Tables and sinks stand as
/// far right as what they end.
fn layers(picture: &Picture) -> Vec<usize> {
    let mut layers = vec![0; picture.spots.len()];
    // Lines lead to later spots only, except between tasks that were added out of order; a bounded
    // number of rounds settles those too.
    for _ in 0..picture.spots.len() {
        let mut changed = false;
        for (from, to, _) in &picture.lines {
            let least = layers.get(*from).map_or(0, |layer| layer + 1);
            if let Some(layer) = layers.get_mut(*to)
                && *layer < least
            {
                *layer = least;
                changed = true;
            }
        }
        if !changed {
            break;
        }
    }
    layers
}
