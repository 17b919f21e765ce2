//! Plays scenarios on a driver, step by step, and says where something else came back.

use super::script::{Action, Call, Outcome, Scenario, Step};
use std::collections::BTreeMap;

/// Tells the calls of one scenario apart.
pub type CallNumber = usize;

/// What keeps objects, and how to ask it.
pub trait Driver {
    /// What failures call it.
    fn name(&self) -> String;
    /// Whether it has what a scenario needs.
    fn has(&self, need: &str) -> bool;
    /// Sends a call; an error is a mistake of the script.
    fn begin(&mut self, number: CallNumber, call: &Call) -> Result<(), String>;
    /// Waits for the answer; `waits` if none comes.
    fn answer(&mut self, number: CallNumber) -> Outcome;
    /// Makes sure that the call waits in a line; if it does not, what it was answered.
    fn waits(&mut self, number: CallNumber) -> Result<(), Outcome>;
    /// Takes a waiting call back.
    fn cancel(&mut self, number: CallNumber);
    /// Ends a session, with these of its calls.
    fn end(&mut self, session: &str, calls: &[CallNumber]);
    /// The answer that gave this lease never arrived.
    fn miss(&mut self, session: &str, lease: &str) -> Result<(), String>;
    /// Lets time pass.
    fn pass(&mut self, ms: u64);
    /// Which invariant is broken.
    fn violation(&mut self) -> Option<String>;
    /// No objects, no sessions: ready for the next scenario.
    fn clear(&mut self);
}

/// Plays one scenario; an error says which step failed, and how.
pub fn play(driver: &mut dyn Driver, scenario: &Scenario) -> Result<(), String> {
    let mut play = Play { driver, calls: vec![], waiting: vec![], names: BTreeMap::new() };
    let result = scenario.steps.iter().try_for_each(|step| play.checked(scenario, step)).and_then(|()| play.end(scenario));
    driver.clear();
    result
}

struct Play<'a> {
    driver: &'a mut dyn Driver,
    /// The session of each call.
    calls: Vec<String>,
    /// Calls that were said to wait, oldest first, with their names.
    waiting: Vec<(CallNumber, Option<String>)>,
    /// What `as NAME` has named.
    names: BTreeMap<String, String>,
}

impl Play<'_> {
    fn checked(&mut self, scenario: &Scenario, step: &Step) -> Result<(), String> {
        let result = self.step(&step.action).and_then(|()| match self.driver.violation() {
            Some(violation) => Err(format!("  an invariant is broken: {violation}")),
            None => Ok(()),
        });
        let Scenario { file, title, .. } = scenario;
        let place = format!("{file}:{} on {}: {title}\n  step      {}", step.line, self.driver.name(), step.text);
        result.map_err(|problem| format!("{place}\n{problem}{}", self.names_in(&problem)))
    }

    /// What the numbers of a problem are called in the script.
    fn names_in(&self, problem: &str) -> String {
        let is_there = |value: &str| problem.split(|character: char| !character.is_alphanumeric()).any(|word| word == value);
        let names = self.names.iter().filter(|(_, value)| is_there(value)).map(|(name, value)| format!("{name}={value}"));
        let names: Vec<_> = names.collect();
        if names.is_empty() { String::new() } else { format!("\n  names     {}", names.join(", ")) }
    }

    fn step(&mut self, action: &Action) -> Result<(), String> {
        match action {
            Action::Call { call, expected } => {
                let number = self.calls.len();
                self.calls.push(call.session.clone());
                self.driver.begin(number, &call.resolved(&self.names)).map_err(|mistake| format!("  mistake   {mistake}"))?;
                if expected.is_waits() {
                    self.waiting.push((number, expected.parts[0].alias.clone()));
                    return self.driver.waits(number).map_err(|actual| differs(expected, &actual));
                }
                self.compare(expected, number)
            }
            Action::Answer { who, expected } if expected.is_waits() => {
                let at = self.find(who)?;
                self.driver.waits(self.waiting[at].0).map_err(|actual| differs(expected, &actual))
            }
            Action::Answer { who, expected } => {
                let at = self.find(who)?;
                let (number, _) = self.waiting.remove(at);
                self.compare(expected, number)
            }
            Action::Cancels { session, call } => {
                let at = self.find(call.as_ref().unwrap_or(session))?;
                let (number, _) = self.waiting.remove(at);
                self.driver.cancel(number);
                Ok(())
            }
            Action::Dies { session } => {
                let calls: Vec<_> = self.waiting.iter().map(|(number, _)| *number).collect();
                let ended: Vec<_> = calls.into_iter().filter(|number| self.calls[*number] == *session).collect();
                self.waiting.retain(|(number, _)| !ended.contains(number));
                self.driver.end(session, &ended);
                Ok(())
            }
            Action::Misses { session, lease } => {
                let lease = self.names.get(lease).ok_or_else(|| format!("  no lease is named {lease}"))?;
                self.driver.miss(session, lease)
            }
            Action::Time { ms } => {
                self.driver.pass(*ms);
                Ok(())
            }
        }
    }

    /// The oldest waiting call of a session, or the one of this name.
    fn find(&self, who: &str) -> Result<usize, String> {
        let is_it = |(number, name): &(CallNumber, Option<String>)| name.as_deref() == Some(who) || self.calls[*number] == who;
        self.waiting.iter().position(is_it).ok_or_else(|| format!("  no call of {who} was said to wait"))
    }

    fn compare(&mut self, expected: &Outcome, number: CallNumber) -> Result<(), String> {
        let expected = expected.resolved(&self.names);
        let actual = self.driver.answer(number);
        if !expected.matches(&actual) {
            return Err(differs(&expected, &actual));
        }
        for (expected, actual) in expected.parts.iter().zip(&actual.parts) {
            if let Some(name) = &expected.alias {
                let value = actual.alias.clone().ok_or_else(|| format!("  nothing here that {name} could name"))?;
                self.names.insert(name.clone(), value);
            }
        }
        Ok(())
    }

    /// What was said to wait still does.
    fn end(&mut self, scenario: &Scenario) -> Result<(), String> {
        for (number, _) in &self.waiting {
            if let Err(actual) = self.driver.waits(*number) {
                let (Scenario { file, title, line, .. }, driver) = (scenario, self.driver.name());
                let whose = &self.calls[*number];
                return Err(format!("{file}:{line} on {driver}: {title}\n  at its end a call of {whose} is answered: {actual}"));
            }
        }
        Ok(())
    }
}

fn differs(expected: &Outcome, actual: &Outcome) -> String {
    format!("  expected  {expected}\n  actual    {actual}")
}
