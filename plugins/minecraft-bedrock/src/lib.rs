//! minecraft-bedrock
