//! ARMA models with regressors in state-space form: exact likelihood, missing rows, fit, forecast.
//!
//! Owns: the arithmetic, in f64, for rows at regular distances of which NaN are missing.
//! Does not own: which regressors there are, or what a forecast is for (`detect::sarimax`).
//!
//! A seasonal ARMA is multiplied out to one of `r = max(p, q + 1)` states in Harvey's form (Harvey 1989,
//! Forecasting, Structural Time Series Models and the Kalman Filter, 3.3): the forecast error `v` of a
//! row moves state `i` to `a[i + 1] + φ[i]·y + g[i]·v`. Variances are in units of the innovations'.
//!
//! Of an ARIMA the differences are an ARMA. Where no row is missing that is all there is to it; where rows are, the
//! rows themselves are filtered (`undifferenced`).
//!
//! Three ways lead to the same likelihood: for few states a filter in registers (`small`), for more of them one that
//! steps by the change of its covariance (`likelihood`, `gains`), and for a season's worth of them, or where
//! rows are missing, none at all (`direct`). `rows` takes the cheapest.

mod arima;
mod arma;
mod bfgs;
mod direct;
mod divide;
mod double;
mod fit;
mod gains;
mod levels;
mod likelihood;
mod real;
mod regression;
mod rows;
mod small;
mod sound;
mod starts;
mod stationary;
mod tracker;
mod undifferenced;

pub use arima::Ahead;
pub use arima::Arima;
pub use arma::Arma;
pub use arma::Order;
pub use fit::Begin;
pub use fit::Fit;
pub use fit::Start;
pub use fit::fit;
pub use fit::log_likelihood;
pub use fit::n_known;
pub use regression::Columns;
pub use rows::differenced;
pub use tracker::Tracker;
