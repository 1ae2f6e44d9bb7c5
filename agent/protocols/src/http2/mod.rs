//! HTTP/2 (RFC 9113), watched from outside.

mod hpack;
