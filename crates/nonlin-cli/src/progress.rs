//! A bar on the terminal for what takes longer than a second.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

const PATIENCE: Duration = Duration::from_secs(1);

/// Counts bytes done; silent for a second, and where standard error is not a terminal.
pub struct Progress {
    began: Instant,
    done: u64,
    total: u64,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Of `total` bytes nothing is done.
    #[must_use]
    pub fn new(total: u64) -> Self {
        Progress { began: Instant::now(), done: 0, total, bar: None }
    }

    /// `bytes` more are done.
    pub fn add(&mut self, bytes: u64) {
        self.done += bytes;
        if self.bar.is_none() && self.began.elapsed() > PATIENCE {
            let template = "{bar:40} {percent:>3} %  {bytes} of {total_bytes}  {eta} left";
            let style = ProgressStyle::with_template(template);
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar =
                ProgressBar::new(self.total).with_style(style).with_elapsed(self.began.elapsed());
            self.bar = Some(bar);
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
