//! A file manager that drags files onto the plugin's window, as the X drag-and-drop protocol wants it: it says what it
//! has, is asked for it, and is told whether it is welcome.

use std::path::Path;
use std::time::{Duration, Instant};

use x11rb::connection::Connection as _;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    Atom, AtomEnum, CLIENT_MESSAGE_EVENT, ClientMessageEvent, ConnectionExt as _, CreateWindowAux,
    EventMask, PropMode, SELECTION_NOTIFY_EVENT, SelectionNotifyEvent, SelectionRequestEvent,
    Window as WindowId, WindowClass,
};
use x11rb::wrapper::ConnectionExt as _;

use super::{Hand, Screen};

/// Version of the protocol that is spoken.
const VERSION: u32 = 5;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Files that are being dragged over a window.
pub struct Drag<'a> {
    screen: &'a Screen,
    target: WindowId,
    source: WindowId,
    /// The files as links, a line each.
    links: String,
    time: u32,
}

/// The `file://` link of a path.
fn link(path: &Path) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-".contains(&b);
    let encode = |b: u8| match plain(b) {
        true => char::from(b).to_string(),
        false => format!("%{b:02X}"),
    };
    let path: String = path.to_str().unwrap().bytes().map(encode).collect();
    format!("file://{path}\r\n")
}

impl<'a> Drag<'a> {
    /// Drags files to the window, which must have said that it takes drops.
    pub fn files(hand: &Hand<'a>, files: &[&Path]) -> Self {
        let links = files.iter().map(|path| link(path)).collect();
        Self::begin(hand, links, "text/uri-list")
    }

    /// Drags something of another type.
    pub fn something(hand: &Hand<'a>, mime: &str) -> Self {
        Self::begin(hand, "something".to_owned(), mime)
    }

    fn begin(hand: &Hand<'a>, links: String, mime: &str) -> Self {
        let (screen, target) = (hand.screen, hand.window);
        let connection = &screen.connection;
        let source = connection.generate_id().unwrap();
        let (class, aux) = (WindowClass::INPUT_OUTPUT, CreateWindowAux::new());
        connection
            .create_window(0, source, screen.root, 0, 0, 1, 1, 0, class, 0, &aux)
            .unwrap();
        let drag = Self {
            screen,
            target,
            source,
            links,
            time: 1000,
        };
        let aware = connection
            .get_property(false, target, drag.atom("XdndAware"), AtomEnum::ATOM, 0, 1)
            .unwrap()
            .reply()
            .unwrap();
        let version = aware.value32().and_then(|mut v| v.next());
        assert!(version >= Some(VERSION), "takes drops: {version:?}");
        let selection = drag.atom("XdndSelection");
        connection
            .set_selection_owner(source, selection, x11rb::CURRENT_TIME)
            .unwrap();
        drag.tell("XdndEnter", [VERSION << 24, drag.atom(mime), 0, 0]);
        drag
    }

    fn atom(&self, name: &str) -> Atom {
        let connection = &self.screen.connection;
        let reply = connection.intern_atom(false, name.as_bytes()).unwrap();
        reply.reply().unwrap().atom
    }

    fn tell(&self, message: &str, rest: [u32; 4]) {
        let event = ClientMessageEvent {
            response_type: CLIENT_MESSAGE_EVENT,
            format: 32,
            sequence: 0,
            window: self.target,
            type_: self.atom(message),
            data: [self.source, rest[0], rest[1], rest[2], rest[3]].into(),
        };
        self.send(self.target, event);
    }

    fn send(&self, to: WindowId, event: impl Into<[u8; 32]>) {
        let connection = &self.screen.connection;
        connection
            .send_event(false, to, EventMask::NO_EVENT, event)
            .unwrap();
        connection.flush().unwrap();
    }

    /// Moves the files to a place in the window; whether they are welcome there.
    pub fn over(&mut self, at: (i16, i16)) -> bool {
        self.time += 10;
        let place = (at.0 as u32) << 16 | at.1 as u32;
        let copy = self.atom("XdndActionCopy");
        self.tell("XdndPosition", [0, place, self.time, copy]);
        self.answer("XdndStatus")
    }

    /// Lets go of them; whether they were taken.
    pub fn drop(mut self) -> bool {
        self.time += 10;
        self.tell("XdndDrop", [0, self.time, 0, 0]);
        self.answer("XdndFinished")
    }

    /// Takes them away again.
    pub fn leave(self) {
        self.tell("XdndLeave", [0; 4]);
    }

    /// Waits for the window's answer, and hands over the files if it asks for them.
    fn answer(&self, message: &str) -> bool {
        let kind = self.atom(message);
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            match self.screen.connection.poll_for_event().unwrap() {
                Some(Event::SelectionRequest(request)) => self.hand_over(&request),
                Some(Event::ClientMessage(event)) if event.type_ == kind => {
                    return event.data.as_data32()[1] & 1 == 1;
                }
                Some(_) => {}
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        panic!("no {message}");
    }

    fn hand_over(&self, request: &SelectionRequestEvent) {
        let (to, property) = (request.requestor, request.property);
        let links = self.links.as_bytes();
        self.screen
            .connection
            .change_property8(PropMode::REPLACE, to, property, request.target, links)
            .unwrap();
        let event = SelectionNotifyEvent {
            response_type: SELECTION_NOTIFY_EVENT,
            sequence: 0,
            time: request.time,
            requestor: to,
            selection: request.selection,
            target: request.target,
            property,
        };
        self.send(to, event);
    }
}
