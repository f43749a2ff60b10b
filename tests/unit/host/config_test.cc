// SPDX-License-Identifier: MIT
#include "host/config.h"

#include <gtest/gtest.h>
#include <cstdlib>
#include <fstream>

#include "support/temp_dir.h"

namespace projfs {
namespace {

class ConfigTest : public ::testing::Test {
 protected:
  Status load(const std::string& text) {
    std::ofstream(path_) << text;
    return load_config(path_, config_);
  }
  std::string refusal(const std::string& text) {
    const auto loaded = load(text);
    return loaded ? "" : loaded.error().message;
  }

  testing::TempDir dir_;
  std::string path_ = dir_.path() + "/projfs.toml";
  Config config_;
};

TEST_F(ConfigTest, EveryKeyIsRead) {
  ASSERT_TRUE(load(R"(
store = "/srv/store"
projects_root = "/srv/projects"
socket = "/run/x.sock"
admin_group = "ops"
log_level = "debug"
block_cache = "32M"
index_cache = "33M"
index_buffer = 35651584
inode_cache = 5000
stage_bytes = "2G"
reserve = "1G"
workers = 8
spin_us = 0
compression_level = 3
ingest_threads = 2
sync_every = "250ms"
resend = false
)"));
  EXPECT_EQ(config_.store, "/srv/store");
  EXPECT_EQ(config_.projects_root, "/srv/projects");
  EXPECT_EQ(config_.socket, "/run/x.sock");
  EXPECT_EQ(config_.admin_group, "ops");
  EXPECT_EQ(config_.log_level, "debug");
  EXPECT_EQ(config_.engine.block_cache_bytes, 32u << 20);
  EXPECT_EQ(config_.engine.index_cache_bytes, 33u << 20);
  EXPECT_EQ(config_.engine.index_buffer_bytes, 34u << 20);
  EXPECT_EQ(config_.engine.inode_cache, 5000u);
  EXPECT_EQ(config_.engine.stage_bytes, 2ull << 30);
  EXPECT_EQ(config_.engine.reserve_bytes, 1u << 30);
  EXPECT_EQ(config_.workers, 8u);
  EXPECT_EQ(config_.spin_us, 0u);
  EXPECT_EQ(config_.engine.compression_level, 3);
  EXPECT_EQ(config_.engine.ingest_threads, 2u);
  EXPECT_EQ(config_.engine.sync_every_ms, 250);
  EXPECT_FALSE(config_.resend);
}

TEST_F(ConfigTest, AnEmptyFileLeavesTheDefaults) {
  ASSERT_TRUE(load("# nothing\n"));
  EXPECT_EQ(config_.store, "/var/lib/projfs");
  EXPECT_EQ(config_.socket, kDefaultSocket);
}

TEST_F(ConfigTest, RefusalsNameFileLineAndKey) {
  EXPECT_EQ(refusal("\nstoer = \"/x\"\n"),
            path_ + ":2: stoer: unknown key; projfs.toml(5) lists all there are");
  EXPECT_EQ(refusal("store = \"x\"\n"), path_ + ":1: store: wants an absolute path in quotes");
  EXPECT_EQ(refusal("store = 5\n"), path_ + ":1: store: wants an absolute path in quotes");
  EXPECT_EQ(refusal("\n\nworkers = 0\n"),
            path_ + ":3: workers: wants a whole number from 1 to 256");
  EXPECT_EQ(refusal("workers = \"8\"\n"),
            path_ + ":1: workers: wants a whole number from 1 to 256");
  EXPECT_EQ(refusal("workers = -1\n"), path_ + ":1: workers: wants a whole number from 1 to 256");
  EXPECT_EQ(refusal("block_cache = \"lots\"\n"),
            path_ + ":1: block_cache: 'lots' is not a size (like 4096, 500M, 10G or 10GiB)");
  EXPECT_EQ(refusal("block_cache = \"1K\"\n"), path_ + ":1: block_cache: wants at least 1 MiB");
  EXPECT_EQ(refusal("block_cache = true\n"), path_ + ":1: block_cache: wants a size, like \"64M\"");
  EXPECT_EQ(refusal("log_level = \"loud\"\n"),
            path_ + ":1: log_level: wants \"error\", \"warn\", \"info\" or \"debug\"");
  EXPECT_EQ(refusal("sync_every = 5\n"),
            path_ + ":1: sync_every: wants a duration in quotes, like \"5s\"; \"0\" turns it off");
  EXPECT_EQ(refusal("[section]\nstore = \"/x\"\n"),
            path_ + ":1: section: unknown key; projfs.toml(5) lists all there are");
}

TEST_F(ConfigTest, WhatIsNotTomlIsRefusedWithItsLine) {
  EXPECT_TRUE(refusal("store = \"/a\"\nstore\n").starts_with(path_ + ":2: "));
  EXPECT_TRUE(refusal("store = \"/a\"\nstore = \"/b\"\n").starts_with(path_ + ":2: "));
}

TEST_F(ConfigTest, AMissingFileIsToldApart) {
  const auto loaded = load_config(dir_.path() + "/nothing.toml", config_);
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code, ENOENT);
}

TEST(ClientSocket, TheEnvironmentDecides) {
  ::setenv("PROJFS_SOCKET", "/tmp/some.sock", 1);
  EXPECT_EQ(client_socket(), "/tmp/some.sock");
  ::unsetenv("PROJFS_SOCKET");
}

}  // namespace
}  // namespace projfs
