//! What operators see of the data path: the record of each exchange and the access log.
//!
//! Records are plain facts that the exchange hands in; nothing here reads a clock or waits.

pub mod access_log;
pub mod backend_counters;
pub mod carried;
pub mod chosen_headers;
pub mod counters;
pub mod date;
pub mod events;
pub mod group_counters;
pub mod histogram;
mod journal_fields;
mod json_text;
pub mod listener_counters;
pub mod log_counters;
pub mod log_datagrams;
pub mod log_fields;
pub mod log_file;
pub mod log_filter;
pub mod log_frame;
pub mod log_output;
pub mod log_set;
pub mod log_template;
mod log_numbers;
pub mod log_text;
mod log_values;
pub mod log_variables;
pub mod log_writer;
pub mod operator;
pub mod otlp;
mod protobuf;
pub mod quic_counters;
pub mod reason;
pub mod record;
pub mod relay_counters;
pub mod route_counters;
pub mod span_queue;
mod word_counters;
pub mod words;
pub mod worker_counters;
