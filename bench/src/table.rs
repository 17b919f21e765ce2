//! What is printed: a block for each measure, with the peers' figures and what bursar's are beside them.

use crate::{
    measure::{Measure, Unit},
    peer::Kind,
};

/// What one peer reached in each round.
pub struct Figures {
    pub kind: Kind,
    rounds: Vec<f64>,
}

impl Figures {
    pub fn new(kind: Kind) -> Figures {
        Figures { kind, rounds: Vec::new() }
    }

    pub fn add(&mut self, figure: f64) {
        self.rounds.push(figure);
        self.rounds.sort_by(f64::total_cmp);
    }

    fn median(&self) -> f64 {
        let (lower, upper) = (self.rounds[(self.rounds.len() - 1) / 2], self.rounds[self.rounds.len() / 2]);
        (lower + upper) / 2.0
    }

    fn range(&self) -> (f64, f64) {
        (self.rounds[0], self.rounds[self.rounds.len() - 1])
    }
}

pub fn print(measure: &Measure, figures: &[Figures], rounds: usize) {
    let rounds = if measure.is_once { String::new() } else { format!(", median of {rounds} (least to most)") };
    println!("\n{}: {}{rounds}", measure.name, unit(measure.unit));
    let bursar = figures.iter().find(|figures| figures.kind == Kind::Bursar).map(Figures::median);
    for peer in figures {
        let (least, most) = peer.range();
        let range = if least == most { String::new() } else { format!("({} to {})", short(least), short(most)) };
        let beside = bursar.filter(|_| peer.kind != Kind::Bursar).map_or(String::new(), |bursar| beside(measure, peer, bursar));
        println!("  {:<26} {:>9}  {range:<20} {beside}", peer.kind.name(), short(peer.median()));
    }
}

fn beside(measure: &Measure, peer: &Figures, bursar: f64) -> String {
    let ratio = bursar / peer.median();
    let target = measure.targets.iter().find(|(kind, _)| *kind == peer.kind);
    let bound = if measure.unit == Unit::ItemsPerSecond { "at least" } else { "at most" };
    let is_met = |target: f64| if measure.unit == Unit::ItemsPerSecond { ratio >= target } else { ratio <= target };
    match target {
        None => format!("bursar/peer {ratio:.2}"),
        Some((_, target)) => {
            let verdict = if is_met(*target) { "met" } else { "missed" };
            format!("bursar/peer {ratio:.2}, wanted {bound} {target}: {verdict}")
        }
    }
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::ItemsPerSecond => "items/s",
        Unit::Microseconds => "µs",
        Unit::Bytes => "bytes",
        Unit::Times => "x",
    }
}

fn short(figure: f64) -> String {
    match figure {
        1e6.. => format!("{:.2} M", figure / 1e6),
        1e4.. => format!("{:.1} k", figure / 1e3),
        1e3.. => format!("{:.2} k", figure / 1e3),
        1e2.. => format!("{figure:.0}"),
        10.0.. => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}
