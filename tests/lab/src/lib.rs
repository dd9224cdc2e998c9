//! A node, its players and its attackers in network namespaces, with a real Docker.
