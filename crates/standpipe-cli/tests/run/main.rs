//! Drives the built command through the situations it has to handle: a file a family of situations.

mod builtins;
mod captures;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "http")]
mod server;
mod rig;
mod record;
mod causes;
mod ceiling;
mod doctor;
mod door;
mod ends;
mod events;
mod fanout;
mod file;
mod forms;
mod idle;
mod jobs;
mod limits;
mod memory;
mod observe;
mod pages;
mod paths;
mod picture;
mod publish;
mod screens;
mod shells;
mod sides;
mod signals;
mod terminal;
mod through;
mod tmux;
mod unheard;
