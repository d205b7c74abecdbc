//! What is wrong with a configuration, each problem with its path and line.

use std::fmt;
use std::fmt::Write as _;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The path in the file, such as `watches[1].step`; empty for the file itself.
    pub at: String,
    /// Its line, counted from 1, where the path exists.
    pub line: Option<usize>,
    /// What is wrong and what was wanted.
    pub what: String,
}

/// Everything that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    /// The file's name, for messages.
    pub file: String,
    /// In the order of the file.
    pub list: Vec<Problem>,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.list.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            f.write_str(&self.file)?;
            if let Some(line) = problem.line {
                write!(f, ":{line}")?;
            }
            if !problem.at.is_empty() {
                f.write_str(": ")?;
                // A name of the user's may hold what moves the cursor of a terminal.
                for c in problem.at.chars() {
                    match c.is_control() {
                        true => write!(f, "{}", c.escape_default())?,
                        false => f.write_char(c)?,
                    }
                }
            }
            write!(f, ": {}", problem.what)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
