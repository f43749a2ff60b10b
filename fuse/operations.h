// SPDX-License-Identifier: MIT
//
// FUSE operations in terms of a Volume, one file for each theme. They run inside a Context.
#pragma once

#include "fuse/request.h"

struct fuse_lowlevel_ops;

namespace projfs::fuse {

class Channel;

// Everything that libfuse decodes.
fuse_lowlevel_ops lowlevel_operations();

void add_name_operations(fuse_lowlevel_ops& table);
void add_attribute_operations(fuse_lowlevel_ops& table);
void add_data_operations(fuse_lowlevel_ops& table);
void add_directory_operations(fuse_lowlevel_ops& table);

// Carries out a request that libfuse 3.14 does not know or does not decode in full; false if it is
// none of these. REQUIRES: well-formed, inside a Context.
bool raw_operation(Channel& channel, const Request& request);

}  // namespace projfs::fuse
