//! `bursar top`: processes and objects, full screen, as they are.
//!
//! ```text
//! look (asks the broker) ─► state ─► draw (text and colours in a grid) ─► terminal
//!                             ▲
//!                 input (keys; what is to be done comes out)
//! ```
//!
//! Only this file and `look` have to do with the world: what is shown and what keys do is decided without a terminal and without a broker.

mod draw;
mod figures;
mod input;
mod look;
mod state;

use super::{
    Interrupts, Signals,
    failure::{Exit, Failure},
    output::{Output, unix_ms},
    processes::{Home, lines::colors_wanted},
};
use crate::config;
use bursar::{CallError, object::Incoming, processes::Line};
use crossterm::event::{Event, EventStream};
use futures_util::{
    FutureExt, StreamExt,
    future::LocalBoxFuture,
    stream::{FuturesUnordered, ReadyChunks},
};
use input::Effect;
use look::{Looked, Looking};
use ratatui::{DefaultTerminal, buffer::Buffer, layout::Rect};
use state::State;
use std::{
    env,
    future::pending,
    io::{IsTerminal, stdout},
    time::{Duration, SystemTime},
};
use tokio::time::{MissedTickBehavior, interval};

/// Show processes and objects on the whole screen, as they change
///
/// Arrows or j and k select, tab goes to the other table, l shows what the selected process writes, r restarts it, s stops or starts it
/// (it asks before), K kills it, / filters, ? shows all keys, q ends. CPU is that of one core: 200% are two. A rate is of the last
/// interval.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  bursar top\n  bursar top --interval 250ms\n  bursar top --once | head")]
pub struct Args {
    #[command(flatten)]
    home: Home,
    /// How often it looks
    #[arg(long, value_name = "DURATION", value_parser = config::duration, default_value = "1s")]
    interval: Duration,
    /// Print what would be shown, once and whole, as text
    #[arg(long)]
    once: bool,
}

/// More often, and it would have to do with itself.
const INTERVAL_MIN: Duration = Duration::from_millis(50);
/// The width of `--once` where there is no terminal that says one.
const WIDTH: u16 = 120;
/// Lines of output that are taken in together.
const BATCH: usize = 1000;
/// Lines that are shown of what was written before one looked.
const PAST_LINES: u32 = 1000;

pub fn run(args: Args) -> Result<(), Failure> {
    let client = args.home.client()?;
    if client.json {
        return Err(Failure::usage(
            "top: it is for people; `bursar ps --json` and `bursar objects list --json` are for programs",
        ));
    }
    let interval = args.interval.max(INTERVAL_MIN);
    if args.once {
        return super::session(&client, Signals::End, async |manager, output| {
            let looking = Looking::of(client.clone(), manager.clone());
            once(looking, interval, output).await
        });
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Failed, format!("the runtime cannot be started: {error}")))?;
    let result = runtime.block_on(async {
        let mut interrupts = Interrupts::new()?;
        // The first look is before the screen is taken: what is wrong with address or key is said as everywhere.
        let (looking, looked) = Looking::at(client).look().await;
        let mut state = State::new(colors_wanted(|name| env::var(name).ok()));
        state.take(Ok(looked?), unix_ms(SystemTime::now()));
        let terminal = ratatui::try_init().map_err(|error| {
            let message = format!("top: this is no terminal that it could use ({error}): `bursar top --once` prints one picture");
            Failure::new(Exit::Failed, message)
        })?;
        // It restores the terminal when this panics, too.
        let ended = screen(terminal, state, looking, interval, &mut interrupts).await;
        ratatui::restore();
        ended
    });
    runtime.shutdown_background();
    result
}

/// Two looks, so that there are rates, and the picture of the second.
async fn once(looking: Looking, interval: Duration, output: &mut Output) -> Result<(), Failure> {
    let mut state = State::new(false);
    let (looking, first) = looking.look().await;
    state.take(Ok(first?), unix_ms(SystemTime::now()));
    tokio::time::sleep(interval).await;
    let (_, second) = looking.look().await;
    state.take(Ok(second?), unix_ms(SystemTime::now()));
    let terminal = stdout().is_terminal().then(crossterm::terminal::size).and_then(Result::ok);
    let width = terminal.map_or(WIDTH, |(width, _)| width);
    draw::whole(&state, width).iter().try_for_each(|line| output.line(line))
}

type Lines = ReadyChunks<Incoming<Line>>;
type Wish = LocalBoxFuture<'static, Result<String, Failure>>;

async fn screen(
    mut terminal: DefaultTerminal,
    mut state: State,
    looking: Looking,
    period: Duration,
    interrupts: &mut Interrupts,
) -> Result<(), Failure> {
    let mut keys = EventStream::new();
    let mut tick = interval(period);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut idle = Some(looking.clone());
    let mut look: Option<LocalBoxFuture<'static, (Looking, Result<Looked, Failure>)>> = None;
    let mut wishes: FuturesUnordered<Wish> = FuturesUnordered::new();
    let mut lines: Option<Lines> = None;
    let mut asks = looking;
    loop {
        let drawn = terminal.draw(|frame| {
            let area = frame.area();
            draw::screen(&state, area, frame.buffer_mut());
        });
        drawn.map_err(|error| Failure::new(Exit::Failed, format!("top: the terminal cannot be written: {error}")))?;
        tokio::select! {
            key = keys.next() => match key {
                Some(Ok(Event::Key(key))) => match input::key(&mut state, key) {
                    Some(Effect::Quit) => return Ok(()),
                    Some(Effect::ReadLogs(name)) => lines = asks.logs(name, PAST_LINES).map(|lines| lines.ready_chunks(BATCH)),
                    Some(Effect::LeaveLogs) => lines = None,
                    Some(Effect::Wish(wish)) => wishes.push(asks.wish(wish).boxed_local()),
                    None => {}
                },
                // Another size, or something that is of no interest: it is drawn anew in any case.
                Some(Ok(_)) => {}
                // Whose terminal is gone has nobody to show anything to.
                Some(Err(_)) | None => return Ok(()),
            },
            _ = tick.tick() => if let Some(looking) = idle.take() {
                look = Some(looking.look().boxed_local());
            },
            (looking, looked) = perhaps(&mut look) => {
                look = None;
                asks = looking.clone();
                idle = Some(looking);
                state.take(looked.map_err(|failure| failure.message), unix_ms(SystemTime::now()));
            }
            Some(done) = wishes.next(), if !wishes.is_empty() => state.say(done.unwrap_or_else(|failure| failure.message)),
            batch = more(&mut lines) => take_lines(&mut state, &mut lines, batch),
            _ = interrupts.next() => return Ok(()),
        }
    }
}

async fn perhaps<T>(future: &mut Option<LocalBoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}

async fn more(lines: &mut Option<Lines>) -> Option<Vec<Result<Line, CallError>>> {
    match lines {
        Some(lines) => lines.next().await,
        None => pending().await,
    }
}

fn take_lines(state: &mut State, lines: &mut Option<Lines>, batch: Option<Vec<Result<Line, CallError>>>) {
    let Some(batch) = batch else {
        *lines = None;
        return state.log_ended("nothing more comes: the supervisor has stopped".to_owned());
    };
    for line in batch {
        match line {
            Ok(line) => state.log(&line),
            Err(error) => state.log_ended(error.to_string()),
        }
    }
}

/// The text in a grid, without its colours.
fn text(buffer: &Buffer) -> Vec<String> {
    let Rect { width, height, .. } = buffer.area;
    let line = |y: u16| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(line).collect()
}
