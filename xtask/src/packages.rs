//! System packages: finds out which commands are missing and installs what brings them.
