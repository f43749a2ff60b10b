// SPDX-License-Identifier: MIT
//
// What the index holds in memory: a skip list like RocksDB's own, for keys in bytewise order. The
// library as Debian builds it compares every key three times over (its assertions are on), each
// time through two virtual calls, and that was half of what creating or removing a name cost.
//
// Thread safety: as RocksDB wants it. Insertions may be concurrent; readers take no lock.
#pragma once

#include <rocksdb/memtablerep.h>

namespace projfs {

class BytewiseMemtables final : public rocksdb::MemTableRepFactory {
 public:
  using rocksdb::MemTableRepFactory::CreateMemTableRep;
  // REQUIRES: the family's comparator is rocksdb::BytewiseComparator().
  rocksdb::MemTableRep* CreateMemTableRep(const rocksdb::MemTableRep::KeyComparator& comparator,
                                          rocksdb::Allocator* allocator,
                                          const rocksdb::SliceTransform* transform,
                                          rocksdb::Logger* logger) override;
  [[nodiscard]] const char* Name() const override { return "projfs.BytewiseMemtables"; }
  [[nodiscard]] bool IsInsertConcurrentlySupported() const override { return true; }
};

}  // namespace projfs
