//! No thread of a server may panic, whatever a test does to it.

use std::sync::{Mutex, Once, PoisonError};

static HOOK: Once = Once::new();
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Begins to watch the threads of this process that are no test's own.
pub fn watch() {
    HOOK.call_once(|| {
        let inner = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let thread = std::thread::current();
            // Test threads are named after their tests, which have paths.
            let name = thread.name().unwrap_or("?");
            if !name.contains("::") && name != "main" {
                let mut panics = PANICS.lock().unwrap_or_else(PoisonError::into_inner);
                panics.push(format!("{name}: {info}"));
            }
            inner(info);
        }));
    });
}

/// What panicked so far.
pub fn seen() -> Vec<String> {
    PANICS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}
