//! The modules of the `nonlin` command, apart from `main` so that tests reach them.
//!
//! | module | does |
//! |---|---|
//! | [`args`] | the command line |
//! | [`commands`] | what each subcommand does |
//! | [`catalog`] | a file of functions of one's own |
//! | [`chosen`] | a function of any kind, by name |
//! | [`properties`], [`measure`] | limits, zeros, extrema, kinks; error and speed |
//! | [`explain`] | how good a formula is as written and as computed |
//! | [`mod@bench`] | times next to yardsticks |
//! | [`mod@array`] | what is known of an array before its elements are read |
//! | [`npy`], [`tensors`] | headers of `.npy` and `.safetensors` files, read and written |
//! | [`npz`] | archives of `.npy` files, read and written |
//! | [`input`] | files mapped and read block by block |
//! | [`stream`] | from inputs to outputs block by block |
//! | [`text`] | numbers on standard input and output |
//! | [`verify`] | errors over samples and over all inputs |
//! | [`output`] | files that appear whole or not at all |
//! | [`progress`] | a bar for what takes longer than a second |
//! | [`plot`] | figures as SVG and PNG |
//! | [`ticks`] | round numbers along axes |
//! | [`sample`] | points of a curve |
//! | [`curve`] | curves in the terminal |

pub mod args;
pub mod array;
pub mod bench;
pub mod catalog;
pub mod chosen;
pub mod commands;
pub mod curve;
pub mod drawing;
pub mod explain;
pub mod input;
pub mod measure;
pub mod npy;
pub mod npz;
pub mod output;
pub mod plot;
pub mod progress;
pub mod properties;
pub mod sample;
pub mod stream;
pub mod tensors;
pub mod text;
pub mod ticks;
pub mod verify;
