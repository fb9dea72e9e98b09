#pragma once

#include <unistd.h>

#include <climits>
#include <string>

namespace quatrain {

// This machine's name, for people; "" if the system does not tell.
inline std::string HostName() {
  char name[HOST_NAME_MAX + 1] = {};
  gethostname(name, HOST_NAME_MAX);
  return name;
}

}  // namespace quatrain
