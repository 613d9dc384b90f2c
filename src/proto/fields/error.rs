//! What can be wrong with a field section.

/// The sender broke RFC 7541. Both tables may differ from now on: the connection is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The block ends within a field.
    Truncated,
    IntegerTooLarge,
    /// No table has a field of this index.
    BadIndex,
    /// The padding is too long or not all ones, or the string holds its end symbol.
    BadHuffman,
    /// Larger than the size that we allow.
    SizeUpdateTooLarge,
    /// Behind a field, or the third of a block.
    MisplacedSizeUpdate,
    /// We allow less than before, and the sender does not say that it knows.
    MissingSizeUpdate,
    /// The block is over the limits and costs far more work than its length lets expect. No field of it
    /// is at fault: an ENHANCE_YOUR_CALM rather than a COMPRESSION_ERROR.
    TooMuchWork,
}

impl DecodeError {
    /// The stable name of the fault, for logs and metrics.
    pub fn reason(self) -> &'static str {
        match self {
            DecodeError::Truncated => "hpack_truncated",
            DecodeError::IntegerTooLarge => "hpack_integer",
            DecodeError::BadIndex => "hpack_index",
            DecodeError::BadHuffman => "hpack_huffman",
            DecodeError::SizeUpdateTooLarge => "hpack_table_size",
            DecodeError::MisplacedSizeUpdate => "hpack_misplaced_update",
            DecodeError::MissingSizeUpdate => "hpack_missing_update",
            DecodeError::TooMuchWork => "hpack_work",
        }
    }
}
