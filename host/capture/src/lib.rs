//! Packets in: packet sockets and capture files
