//! The messages of event files, and of the `HParams` view.
//!
//! Owns: which field is what. Sources: TensorBoard's `compat/proto/event.proto` and `summary.proto`,
//! `plugins/hparams/api.proto` and `plugin_data.proto`.

use super::Domain;
use super::Event;
use super::Experiment;
use super::Hparam;
use super::Session;
use super::What;
use super::wire::Message;

/// The `Event` that every file begins with.
pub(super) fn version(wall_s: f64) -> Vec<u8> {
    Message::new().double(1, wall_s).text(3, "brain.Event:2").bytes().to_vec()
}

/// An `Event` with a `Summary` of one value.
pub(super) fn event(event: &Event) -> Vec<u8> {
    let value = match &event.what {
        What::Scalar { tag, value } => Message::new().text(1, tag).float(2, *value),
        What::Experiment(told) => hparams("experiment", 2, &experiment(told, event.wall_s)),
        What::SessionStart(told) => hparams("session_start_info", 3, &session(told, event.wall_s)),
        What::SessionEnd { success } => {
            let status = if *success { 1 } else { 2 };
            let end = Message::new().integer(1, status).double(2, event.wall_s);
            hparams("session_end_info", 4, &end)
        }
    };
    let summary = Message::new().message(1, &value);
    let event = Message::new().double(1, event.wall_s).integer(2, event.step);
    event.message(5, &summary).bytes().to_vec()
}

/// A `Summary.Value` of the plugin `hparams`: what it has to say is all metadata, its tensor is empty.
fn hparams(tag: &str, field: u32, told: &Message) -> Message {
    let data = Message::new().message(field, told);
    let plugin = Message::new().text(1, "hparams").raw(2, data.bytes());
    let metadata = Message::new().message(1, &plugin);
    // Floats, none of them: of a shape with one dimension of length zero.
    let shape = Message::new().message(2, &Message::new());
    let tensor = Message::new().integer(1, 1).message(2, &shape);
    let tag = format!("_hparams_/{tag}");
    Message::new().text(1, &tag).message(8, &tensor).message(9, &metadata)
}

fn experiment(told: &Experiment, wall_s: f64) -> Message {
    let hparam = |(name, domain): &(String, Domain)| {
        let numbers = |values: &[f64]| values.iter().map(|v| number(*v)).collect::<Vec<_>>();
        let message = Message::new().text(1, name);
        match domain {
            Domain::Interval(least, most) => {
                let interval = Message::new().double(1, *least).double(2, *most);
                message.integer(4, FLOAT).message(6, &interval)
            }
            Domain::Numbers(values) => {
                message.integer(4, FLOAT).message(5, &Message::new().each(1, numbers(values)))
            }
            Domain::Texts(values) => {
                let texts = values.iter().map(|value| text(value));
                message.integer(4, STRING).message(5, &Message::new().each(1, texts))
            }
        }
    };
    let metric = |(tag, name): &(String, String)| {
        Message::new().message(1, &Message::new().text(2, tag)).text(3, name)
    };
    Message::new()
        .text(1, &told.description)
        .double(3, wall_s)
        .each(4, told.hparams.iter().map(hparam))
        .each(5, told.metrics.iter().map(metric))
}

/// Values of the enumeration `DataType`.
const STRING: i64 = 1;
const FLOAT: i64 = 3;

fn session(told: &Session, wall_s: f64) -> Message {
    // An entry of a map is a message of its key and its value.
    let entry = |(name, value): &(String, Hparam)| {
        let value = match value {
            Hparam::Number(value) => number(*value),
            Hparam::Text(value) => text(value),
        };
        Message::new().text(1, name).message(2, &value)
    };
    let entries = told.hparams.iter().map(entry);
    Message::new().each(1, entries).text(4, &told.group).double(5, wall_s)
}

/// `google.protobuf.Value`.
fn number(value: f64) -> Message {
    Message::new().double(2, value)
}

fn text(value: &str) -> Message {
    Message::new().text(3, value)
}
