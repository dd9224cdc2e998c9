//! Answers questions: the only listening socket
