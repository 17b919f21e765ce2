//! `bursar channel chat`: what is typed is sent, and what comes is printed, both at once.

use super::{
    super::{
        failure::{Exit, Failure},
        messages::{self, Form, Shown, Until},
        name,
        output::Output,
    },
    receive::{Active, nothing},
};
use bursar::{End, Manager, Raw, Wait, channel::Side};
use std::pin::pin;

/// Send the lines of stdin, and print what comes, until stdin ends or the other end is closed
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples, in two terminals:
  bursar channel chat talk --at a --create
  bursar channel chat talk --at b --create")]
pub struct Args {
    /// The channel
    #[arg(value_parser = name)]
    name: String,
    /// The end
    #[arg(long, value_name = "a|b", value_parser = super::side)]
    at: Side,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    shown: Shown,
    /// When stdin ends, close this end: the other one learns that no more will come
    #[arg(long)]
    close: bool,
    /// Make the channel if it does not exist
    #[arg(long)]
    create: bool,
}

impl Args {
    pub async fn run(self, manager: &Manager, output: &mut Output) -> Result<(), Failure> {
        let end = super::open(manager, &self.name, self.create).await?.end(self.at);
        let mut speaking = pin!(self.speak(&end));
        let mut hearing = pin!(messages::print_all(Active(end.clone()), Until::ITS_END, &self.shown, nothing, output));
        tokio::select! {
            heard = &mut hearing => heard,
            spoken = &mut speaking => match spoken {
                // What was sent before the end was closed is still printed.
                Err(failure) if failure.exit == Exit::Conflict => hearing.await.and(Err(failure)),
                spoken => spoken,
            },
        }
    }

    async fn speak(&self, end: &End<Raw>) -> Result<(), Failure> {
        self.form.send_lines(async |message| end.send_with(message, Wait::Forever).await).await?;
        if self.close {
            end.close().await?;
        }
        Ok(())
    }
}
