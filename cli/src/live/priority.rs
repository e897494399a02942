//! Real-time priority for the threads of sound cards that do not have it by themselves.

use std::sync::Arc;

use super::complaints::{Complaints, Kind};

/// Raises the priority of the thread that first calls it.
pub struct Promotion {
    due: bool,
    complaints: Arc<Complaints>,
}

impl Promotion {
    /// `due` says whether it is needed at all.
    #[must_use]
    pub fn new(due: bool, complaints: &Arc<Complaints>) -> Self {
        Self {
            due,
            complaints: Arc::clone(complaints),
        }
    }

    /// Does it, the first time.
    pub fn promote(&mut self) {
        if std::mem::take(&mut self.due) && !raise() {
            self.complaints.note(Kind::NoPriority, || {
                "no real-time priority for this user: if the sound stutters, see cli/LIVE.md, \"When it stutters\"".into()
            });
        }
    }
}

#[cfg(unix)]
fn raise() -> bool {
    use thread_priority::{
        RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
        set_thread_priority_and_policy, thread_native_id,
    };
    // Below the servers, which have 5 to 20 of this scale or more.
    let Ok(value) = ThreadPriorityValue::try_from(5u8) else {
        return false;
    };
    set_thread_priority_and_policy(
        thread_native_id(),
        ThreadPriority::Crossplatform(value),
        ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::RoundRobin),
    )
    .is_ok()
}

#[cfg(not(unix))]
fn raise() -> bool {
    thread_priority::set_current_thread_priority(thread_priority::ThreadPriority::Max).is_ok()
}
