//! Certificates that change on disk, brought into service while the process serves.
