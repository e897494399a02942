//! The host as baseview wants to see it. The plugin framework names the same things by other types.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use baseview::host::{self, Host};
use baseview::{HandlerError, WindowSize};
use nice_plug::editor::{HostCallbacks, HostMainThreadCaller, HostMethods};

struct Callbacks(Box<dyn HostCallbacks>);

impl host::HostCallbacks for Callbacks {
    fn request_resize(&mut self, size: WindowSize) -> Result<(), HandlerError> {
        self.0
            .request_resize(size.physical.into(), size.scale_factor)
            .map_err(HandlerError::from_boxed)
    }

    fn destroyed(&mut self) {
        self.0.destroyed();
    }
}

struct MainThread {
    inner: Box<dyn HostMainThreadCaller>,
    closing: Arc<AtomicBool>,
}

impl host::HostMainThreadCaller for MainThread {
    fn call_main_thread(&mut self) {
        // The host closes the window, and need not be told.
        if !self.closing.load(Ordering::Acquire) {
            self.inner.call_main_thread();
        }
    }
}

/// The host of a window, which is told nothing any more while it is `closing` it.
pub fn for_window(methods: HostMethods, closing: Arc<AtomicBool>) -> Host {
    Host::new()
        .with_callbacks(Callbacks(methods.callbacks))
        .with_main_thread(MainThread {
            inner: methods.main_thread_caller,
            closing,
        })
}
