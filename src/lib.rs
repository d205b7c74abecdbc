//! Portent
