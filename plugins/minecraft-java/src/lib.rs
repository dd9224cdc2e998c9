//! minecraft-java
