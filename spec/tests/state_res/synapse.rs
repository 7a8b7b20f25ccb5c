//! Synapse's v1 code in a process of its own, as the oracle of v1. See `tests/oracles/synapse_state_v1`.

use crate::{compare::Resolved, room::Room};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

pub struct Synapse {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Synapse {
    pub fn start() -> Self {
        let python = interpreter();
        assert!(
            python.exists(),
            "{} is not there: run tests/oracles/synapse_state_v1/setup.sh, or set ROOST_SYNAPSE_PYTHON",
            python.display()
        );
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/oracles/synapse_state_v1/resolve.py");
        let mut child = Command::new(python).arg(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    pub fn resolve(&mut self, room: &Room) -> Resolved {
        let events: Vec<Value> = room.events.values().map(|pdu| serde_json::from_str(pdu.json()).unwrap()).collect();
        let states: Vec<Vec<Value>> = room
            .entries()
            .iter()
            .map(|state| state.iter().map(|entry| json!([entry.kind, entry.state_key, entry.event_id])).collect())
            .collect();
        writeln!(self.input, "{}", json!({"room_id": room.room_id, "events": events, "states": states})).unwrap();
        self.input.flush().unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).expect("Synapse answers; its error is above");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let entries = answer["state"].as_array().unwrap().iter();
        entries.map(|entry| ((text(&entry[0]), text(&entry[1])), text(&entry[2]))).collect()
    }
}

impl Drop for Synapse {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn interpreter() -> PathBuf {
    match std::env::var_os("ROOST_SYNAPSE_PYTHON") {
        Some(path) => path.into(),
        None => Path::new(&std::env::var_os("HOME").unwrap()).join(".cache/roost/venv-synapse/bin/python"),
    }
}
