//! Drives the built command through the situations it has to handle: a file a family of situations.

mod rig;
mod causes;
mod doctor;
mod ends;
mod file;
mod forms;
mod memory;
mod paths;
mod shells;
mod signals;
mod terminal;
