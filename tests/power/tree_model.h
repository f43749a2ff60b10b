// SPDX-License-Identifier: MIT
//
// What a volume's names and attributes should be: a tree by inode number, with a text form in which
// two states are compared.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "projfs/volume.h"

namespace projfs::power {

struct Node {
  std::uint32_t mode = 0;  // with type bits
  std::uint32_t uid = 0, gid = 0;
  std::uint64_t rdev = 0;
  std::string target;
  std::map<std::string, std::string> xattrs;
  std::map<std::string, Ino> entries;  // of a directory
};

class TreeModel {
 public:
  TreeModel() { nodes_[kRootIno].mode = 0040755; }

  [[nodiscard]] const std::map<Ino, Node>& nodes() const { return nodes_; }
  Node& at(Ino ino) { return nodes_.at(ino); }
  [[nodiscard]] const Node& at(Ino ino) const { return nodes_.at(ino); }

  void add(Ino parent, const std::string& name, Ino ino, Node node);
  void link(Ino ino, Ino parent, const std::string& name) { at(parent).entries[name] = ino; }
  // Returns the inode if it has no name left; it is dropped then.
  Ino remove(Ino parent, const std::string& name);
  Ino rename(Ino parent, const std::string& name, Ino new_parent, const std::string& new_name,
             bool exchange);

  [[nodiscard]] std::uint32_t links(Ino ino) const;
  [[nodiscard]] bool is_below(Ino ino, Ino ancestor) const;  // or the same
  [[nodiscard]] std::vector<Ino> of_type(std::uint32_t type) const;
  [[nodiscard]] std::string text() const;

 private:
  Ino dropped(Ino ino);
  std::map<Ino, Node> nodes_;
};

// The same text of what a volume shows; an error is part of it, and so never equals a model's.
std::string text_of(Volume& volume);

}  // namespace projfs::power
