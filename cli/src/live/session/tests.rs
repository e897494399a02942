//! A session with a sound card that is made up: what real ones cannot be asked for in a test.

use super::*;
use crate::live::host::{End, OutputChoice};

/// A sound card that opens, or not, and never plays.
struct Cards {
    built_in: (bool, bool),
    refuses: Option<HostError>,
}

struct Silent;

impl Running for Silent {
    fn buffer_frames(&self) -> (Option<u32>, Option<u32>) {
        (Some(256), Some(256))
    }
}

impl Host for Cards {
    fn plan(&mut self, wanted: &Wanted) -> Result<Plan, HostError> {
        let end = |name: &str, is_built_in| End {
            id: name.into(),
            name: name.into(),
            rate_hz: 48_000,
            channels: 2,
            is_built_in,
        };
        Ok(Plan {
            host: "made up".into(),
            input: end("microphone", self.built_in.0),
            output: (wanted.output != OutputChoice::None)
                .then(|| end("loudspeaker", self.built_in.1)),
            one_clock: true,
            channels: 2,
        })
    }

    fn start(
        &mut self,
        _: &Plan,
        _: InputSide,
        _: Option<OutputSide>,
        _: &Arc<Complaints>,
    ) -> Result<Box<dyn Running>, HostError> {
        self.refuses.clone().map_or(Ok(Box::new(Silent)), Err)
    }
}

#[derive(Default)]
struct Heard(Vec<String>);

impl Face for Heard {
    fn event(&mut self, event: &Event) {
        if let Event::Warning(text) = event {
            self.0.push(text.clone());
        }
    }
    fn show(&mut self, _: &Status, _: &View, _: &Shared) {}
    fn keys(&mut self) -> Vec<Key> {
        Vec::new()
    }
}

fn open(cards: Cards, output: OutputChoice, record: Option<PathBuf>) -> Result<Session, Failure> {
    let beginning = Beginning {
        wanted: Wanted {
            output,
            ..Wanted::default()
        },
        choice: Choice::new("general", None).unwrap(),
        learn_seconds: None,
        record,
        record_raw: None,
    };
    Session::open(Box::new(cards), beginning, Arc::default(), |_| None)
}

#[test]
fn a_computer_that_hears_itself_is_warned_of() {
    let warned = |built_in, output| {
        let cards = Cards {
            built_in,
            refuses: None,
        };
        let session = open(cards, output, None).unwrap();
        let mut heard = Heard::default();
        session.greet(&mut heard);
        assert!(session.finish(&mut heard));
        heard.0.iter().any(|text| text.contains("howl"))
    };
    assert!(warned((true, true), OutputChoice::Default));
    assert!(!warned((true, true), OutputChoice::None));
    assert!(!warned((false, true), OutputChoice::Default));
    assert!(!warned((true, false), OutputChoice::Default));
}

#[test]
fn a_device_that_cannot_be_opened_is_told_and_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let take = folder.path().join("take.wav");
    let cards = Cards {
        built_in: (false, false),
        refuses: Some(HostError::Failed("it is in use".into())),
    };
    let failed = open(cards, OutputChoice::Default, Some(take.clone())).err();
    assert!(
        matches!(&failed, Some(Failure::Failed(text)) if text == "it is in use"),
        "{failed:?}"
    );
    assert!(!take.exists());
}
