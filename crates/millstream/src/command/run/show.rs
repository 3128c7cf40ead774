//! The live view on a terminal, a line every few seconds elsewhere.

use std::sync::Arc;
use std::time::Duration;

use runtime::channel::{self, Receiver};
use runtime::shutdown::{self, Shutdown, Trigger};
use runtime::task::{self, Task};
use runtime::timer;

use super::Handle;
use super::progress::Progress;
use crate::cli::Stage;
use crate::render::plain::progress_line;
use crate::terminal::Stream;
use crate::terminal::screen::{Screen, Wish};

/// Time between two lines.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Time between two pictures.
const FRAME_EVERY: Duration = Duration::from_millis(250);

/// Wishes that wait: one to stop is enough.
const WISHES_MAX: usize = 1;

/// What shows the run.
pub(super) struct Show {
    trigger: Trigger,
    task: Task<()>,
    wishes: Receiver<()>,
}

impl Show {
    /// Begins to show the run.
    pub(super) fn open(
        is_plain: bool,
        stage: &mut Stage,
        handle: &Handle,
        progress: &Arc<Progress>,
    ) -> Self {
        let facts = stage.facts(Stream::Output);
        let (trigger, end) = shutdown::pair();
        let (sender, wishes) = channel::mailbox(WISHES_MAX);
        let (handle, progress) = (handle.clone(), Arc::clone(progress));
        let task = if facts.can_draw() && !is_plain {
            let look = facts.look();
            task::spawn("screen", async move {
                let drawn = task::blocking(move || {
                    draw(Screen::open(look), &handle, &progress, &end, || {
                        // One wish is enough; the second finds the first still waiting.
                        let _ = sender.try_send(());
                    })
                });
                if let Err(error) = drawn.await {
                    tracing::warn!(%error, "the live view ended");
                }
            })
        } else {
            task::spawn("lines", async move {
                lines(&handle, &progress, end).await;
                drop(sender);
            })
        };
        Self { trigger, task, wishes }
    }

    /// Waits until somebody at the terminal wants the run to stop; for ever without one.
    pub(super) async fn wish(&mut self) {
        if self.wishes.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Gives the terminal back.
    pub(super) async fn close(self) {
        self.trigger.fire();
        self.task.join().await;
    }
}

fn draw(
    screen: std::io::Result<Screen>,
    handle: &Handle,
    progress: &Progress,
    end: &Shutdown,
    stop: impl Fn(),
) -> std::io::Result<()> {
    let mut screen = screen?;
    while !end.is_requested() {
        screen.show(&progress.live(&handle.view()))?;
        match screen.wish(FRAME_EVERY)? {
            Some(Wish::Stop) => stop(),
            Some(Wish::Redraw) | None => {}
        }
    }
    Ok(())
}

async fn lines(handle: &Handle, progress: &Progress, mut end: Shutdown) {
    let hint = progress.hint().map(|hint| format!("   look in: {hint}")).unwrap_or_default();
    println_line(&format!("log on {}{hint}", progress.listen()));
    loop {
        runtime::select! {
            () = timer::sleep(LINE_EVERY) => {}
            () = end.requested() => return,
        }
        println_line(&progress_line(&progress.live(&handle.view()), &progress.time()));
    }
}

/// A line of progress; a reader that has left does not end the run.
fn println_line(text: &str) {
    use std::io::Write as _;
    drop(writeln!(std::io::stdout(), "{text}"));
}
