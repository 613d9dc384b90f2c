//! The encoder of brotli (RFC 7932): Google's, in C, behind a type that cannot be used wrongly.
//!
//! In C because the tables of the one in Rust, and the checks of their bounds, were a twelfth of the program.

use std::ptr;
use std::ptr::NonNull;

use brotlic_sys::BrotliEncoderCompressStream;
use brotlic_sys::BrotliEncoderCreateInstance;
use brotlic_sys::BrotliEncoderDestroyInstance;
use brotlic_sys::BrotliEncoderHasMoreOutput;
use brotlic_sys::BrotliEncoderIsFinished;
use brotlic_sys::BrotliEncoderOperation_BROTLI_OPERATION_FINISH as FINISH;
use brotlic_sys::BrotliEncoderOperation_BROTLI_OPERATION_FLUSH as FLUSH;
use brotlic_sys::BrotliEncoderOperation_BROTLI_OPERATION_PROCESS as PROCESS;
use brotlic_sys::BrotliEncoderParameter_BROTLI_PARAM_LGWIN as WINDOW_BITS;
use brotlic_sys::BrotliEncoderParameter_BROTLI_PARAM_QUALITY as QUALITY;
use brotlic_sys::BrotliEncoderParameter_BROTLI_PARAM_SIZE_HINT as SIZE_HINT;
use brotlic_sys::BrotliEncoderSetParameter;
use brotlic_sys::BrotliEncoderState;

/// What to do beyond taking content, as [`crate::http::content_coding::Operation`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BrotliOperation {
    Process,
    Flush,
    Finish,
}

/// What one call of [`BrotliEncoder::encode`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BrotliStep {
    /// Bytes taken from the front of the content.
    pub(super) taken: usize,
    /// Bytes written to the front of the space.
    pub(super) written: usize,
    /// All of the content was taken and the operation is complete.
    pub(super) done: bool,
}

/// Compresses one content.
pub(super) struct BrotliEncoder {
    /// Owned. None: there was no memory for it.
    state: Option<NonNull<BrotliEncoderState>>,
}

impl BrotliEncoder {
    /// `quality` is 0 to 11 and `window_bits` 10 to 24; what is beyond is brought into range. `size_hint` is about how
    /// long the content is, in bytes.
    pub(super) fn new(quality: u32, window_bits: u32, size_hint: u32) -> BrotliEncoder {
        // SAFETY: no functions of our own means those of the C library, which need no handle.
        let state = NonNull::new(unsafe { BrotliEncoderCreateInstance(None, None, ptr::null_mut()) });
        for (parameter, value) in [(QUALITY, quality), (WINDOW_BITS, window_bits), (SIZE_HINT, size_hint)] {
            if let Some(state) = state {
                // SAFETY: the instance is alive and ours alone. It refuses no value of these before it has begun.
                unsafe { BrotliEncoderSetParameter(state.as_ptr(), parameter, value) };
            }
        }
        BrotliEncoder { state }
    }

    /// Takes content and fills space as far as it goes. None: the encoder failed, as it does without memory.
    pub(super) fn encode(
        &mut self,
        content: &[u8],
        operation: BrotliOperation,
        space: &mut [u8],
    ) -> Option<BrotliStep> {
        let state = self.state?.as_ptr();
        let is_finishing = operation == BrotliOperation::Finish;
        let operation = match operation {
            BrotliOperation::Process => PROCESS,
            BrotliOperation::Flush => FLUSH,
            BrotliOperation::Finish => FINISH,
        };
        let (mut left, mut next) = (content.len(), content.as_ptr());
        let (mut room, mut end) = (space.len(), space.as_mut_ptr());
        // SAFETY: the instance is alive, and `&mut self` makes it ours alone. It reads at most `left` bytes from `next` and
        // writes at most `room` bytes to `end`, which are slices of that length, and keeps neither pointer. The total is
        // written only where there is a place for it.
        let is_fine = unsafe {
            BrotliEncoderCompressStream(
                state,
                operation,
                &raw mut left,
                &raw mut next,
                &raw mut room,
                &raw mut end,
                ptr::null_mut(),
            )
        };
        if is_fine == 0 {
            return None;
        }
        // SAFETY: the instance is alive; both only look at it.
        let (has_more, is_finished) =
            unsafe { (BrotliEncoderHasMoreOutput(state) != 0, BrotliEncoderIsFinished(state) != 0) };
        Some(BrotliStep {
            taken: content.len().checked_sub(left)?,
            written: space.len().checked_sub(room)?,
            done: left == 0 && !has_more && (!is_finishing || is_finished),
        })
    }
}

impl Drop for BrotliEncoder {
    fn drop(&mut self) {
        if let Some(state) = self.state {
            // SAFETY: it was made by `BrotliEncoderCreateInstance`, and nobody has it any more.
            unsafe { BrotliEncoderDestroyInstance(state.as_ptr()) };
        }
    }
}
