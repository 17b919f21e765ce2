//! Messages on the wire and on disk: validated on the way in.

use super::{AnswerTo, Content, Headers, Match, ReplyTo};
use crate::objects::value::Value;
use bursar_proto::{Fault, v1};
use std::{collections::HashMap, sync::Arc};

/// Enough for tracing and routing; what is more belongs into the value.
const HEADERS_MAX: usize = 16;
const HEADERS_BYTES_MAX: usize = 4 << 10;

/// Headers as they came.
pub fn headers(headers: HashMap<String, String>) -> Result<Option<Arc<Headers>>, Fault> {
    if headers.is_empty() {
        return Ok(None);
    }
    Ok(Some(Arc::new(bounded("headers", headers)?)))
}

fn bounded(argument: &str, headers: HashMap<String, String>) -> Result<Headers, Fault> {
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if headers.len() > HEADERS_MAX || bytes > HEADERS_BYTES_MAX {
        let problem =
            format!("expected at most {HEADERS_MAX} headers and {HEADERS_BYTES_MAX} bytes, got {} and {bytes}", headers.len());
        return Err(Fault::bad_argument(argument, problem));
    }
    Ok(headers.into_iter().collect())
}

/// Headers as they go.
pub fn headers_out(headers: Option<&Arc<Headers>>) -> HashMap<String, String> {
    let headers = headers.into_iter().flat_map(|headers| headers.iter());
    headers.map(|(name, value)| (name.clone(), value.clone())).collect()
}

impl Match {
    /// As it came; absent: everything.
    pub fn read(wanted: Option<v1::Match>) -> Result<Match, Fault> {
        Ok(Match(bounded("match", wanted.unwrap_or_default().headers)?))
    }

    /// As it is kept.
    pub fn keep(&self) -> v1::Match {
        v1::Match { headers: self.0.clone().into_iter().collect() }
    }
}

impl Content {
    /// As it came. Faults: BadArgument, TooLarge.
    pub fn read(
        value: Option<v1::Value>,
        said: HashMap<String, String>,
        reply_to: Option<v1::ReplyTo>,
        answer_to: Option<v1::AnswerTo>,
        bytes_max: usize,
    ) -> Result<Content, Fault> {
        Ok(Content {
            value: Value::read(value, bytes_max)?,
            headers: headers(said)?,
            reply_to: reply_to.map(ReplyTo::from),
            answer_to: answer_to.map(AnswerTo::from),
        })
    }
}

impl From<v1::ReplyTo> for ReplyTo {
    fn from(v1::ReplyTo { inbox, correlation }: v1::ReplyTo) -> ReplyTo {
        ReplyTo { inbox, correlation }
    }
}

impl From<ReplyTo> for v1::ReplyTo {
    fn from(ReplyTo { inbox, correlation }: ReplyTo) -> v1::ReplyTo {
        v1::ReplyTo { inbox, correlation }
    }
}

impl From<v1::AnswerTo> for AnswerTo {
    fn from(v1::AnswerTo { inbox, correlation, last }: v1::AnswerTo) -> AnswerTo {
        AnswerTo { inbox, correlation, last }
    }
}

impl From<AnswerTo> for v1::AnswerTo {
    fn from(AnswerTo { inbox, correlation, last }: AnswerTo) -> v1::AnswerTo {
        v1::AnswerTo { inbox, correlation, last }
    }
}
