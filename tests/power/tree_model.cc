// SPDX-License-Identifier: MIT
#include "tree_model.h"

#include <sys/stat.h>
#include <functional>
#include <set>

namespace projfs::power {
namespace {

std::string line(const std::string& path, Ino ino, const Node& n, std::uint32_t links) {
  char numbers[160];
  ::snprintf(numbers, sizeof numbers, " ino=%llu mode=%o owner=%u:%u links=%u rdev=%llu",
             static_cast<unsigned long long>(ino), n.mode, n.uid, n.gid, links,
             static_cast<unsigned long long>(n.rdev));
  std::string out = path + numbers;
  if (!n.target.empty()) out += " -> " + n.target;
  for (const auto& [key, value] : n.xattrs) out += " " + key + "=" + value;
  return out + "\n";
}

}  // namespace

void TreeModel::add(Ino parent, const std::string& name, Ino ino, Node node) {
  nodes_[ino] = std::move(node);
  at(parent).entries[name] = ino;
}

Ino TreeModel::dropped(Ino ino) {
  if (S_ISDIR(at(ino).mode) || links(ino) == 0) {
    nodes_.erase(ino);
    return ino;
  }
  return 0;
}

Ino TreeModel::remove(Ino parent, const std::string& name) {
  auto& entries = at(parent).entries;
  const Ino ino = entries.at(name);
  entries.erase(name);
  return dropped(ino);
}

Ino TreeModel::rename(Ino parent, const std::string& name, Ino new_parent,
                      const std::string& new_name, bool exchange) {
  const Ino ino = at(parent).entries.at(name);
  auto& target = at(new_parent).entries;
  const auto old = target.find(new_name);
  const Ino replaced = old == target.end() ? 0 : old->second;
  if (replaced == ino) return 0;
  if (exchange) {
    at(parent).entries[name] = replaced;
    target[new_name] = ino;
    return 0;
  }
  at(parent).entries.erase(name);
  at(new_parent).entries[new_name] = ino;
  return replaced ? dropped(replaced) : 0;
}

std::uint32_t TreeModel::links(Ino ino) const {
  const bool dir = S_ISDIR(at(ino).mode);
  std::uint32_t n = dir ? 2 : 0;
  if (dir) {
    for (const auto& [name, child] : at(ino).entries) n += S_ISDIR(at(child).mode) ? 1 : 0;
    return n;
  }
  for (const auto& [other, node] : nodes_)
    for (const auto& [name, child] : node.entries) n += child == ino ? 1 : 0;
  return n;
}

bool TreeModel::is_below(Ino ino, Ino ancestor) const {
  if (ino == ancestor) return true;
  for (const auto& [name, child] : at(ancestor).entries)
    if (S_ISDIR(at(child).mode) && is_below(ino, child)) return true;
  return false;
}

std::vector<Ino> TreeModel::of_type(std::uint32_t type) const {
  std::vector<Ino> out;
  for (const auto& [ino, node] : nodes_)
    if (type == 0 || (node.mode & S_IFMT) == type) out.push_back(ino);
  return out;
}

std::string TreeModel::text() const {
  std::string out;
  const std::function<void(const std::string&, Ino)> walk = [&](const std::string& path, Ino ino) {
    out += line(path, ino, at(ino), links(ino));
    for (const auto& [name, child] : at(ino).entries) walk(path + "/" + name, child);
  };
  walk("", kRootIno);
  return out;
}

std::string text_of(Volume& volume) {
  std::string out;
  const std::function<void(const std::string&, Ino)> walk = [&](const std::string& path, Ino ino) {
    const auto attr = volume.getattr(ino);
    if (!attr) {
      out += path + ": getattr: " + attr.error().describe() + "\n";
      return;
    }
    Node n;
    n.mode = attr->mode;
    n.uid = attr->uid;
    n.gid = attr->gid;
    n.rdev = attr->rdev;
    if (S_ISLNK(attr->mode)) {
      const auto target = volume.readlink(ino);
      n.target = target ? *target : "error: " + target.error().describe();
    }
    if (const auto names = volume.listxattr(ino)) {
      for (const auto& name : *names) {
        const auto value = volume.getxattr(ino, name);
        n.xattrs[name] = value ? *value : "error: " + value.error().describe();
      }
    } else {
      n.xattrs["error"] = names.error().describe();
    }
    out += line(path, ino, n, attr->nlink);
    if (!S_ISDIR(attr->mode)) return;
    const auto listed = volume.readdir(ino, 0, false, [&](const DirEntry& e, const Attr*) {
      if (e.name != "." && e.name != "..") n.entries[std::string(e.name)] = e.ino;
      return true;
    });
    if (!listed) out += path + ": readdir: " + listed.error().describe() + "\n";
    for (const auto& [name, child] : n.entries) {
      const auto found = volume.lookup(ino, name);
      if (!found || found->ino != child)
        out += path + "/" + name + ": lookup finds something else\n";
      walk(path + "/" + name, child);
    }
  };
  walk("", kRootIno);
  return out;
}

}  // namespace projfs::power
