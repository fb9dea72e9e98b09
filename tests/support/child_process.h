#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "worker/rendezvous_store.h"

namespace quatrain {

// A forked process of this test; killed if the test leaves first. Fork before
// the test has threads.
class ChildProcess {
 public:
  // `body` returns the exit code.
  explicit ChildProcess(const std::function<int()>& body) : pid_(fork()) {
    if (pid_ == 0) _exit(body());
  }
  ~ChildProcess() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      Wait();
    }
  }
  ChildProcess(const ChildProcess&) = delete;

  void Signal(int signal) { kill(pid_, signal); }

  // The exit code, or 128 + the signal it died of.
  int Wait() {
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  pid_t pid_;
};

// A rendezvous store for several processes of a test: one file per key, in a
// folder of its own.
class FileKeyValueStore final : public KeyValueStore {
 public:
  FileKeyValueStore() {
    std::string folder =
        (std::filesystem::temp_directory_path() / "quatrain-XXXXXX").string();
    folder_ = mkdtemp(folder.data());
    owner_ = getpid();
  }
  ~FileKeyValueStore() override {
    if (getpid() == owner_) std::filesystem::remove_all(folder_);
  }

  absl::Status Put(const std::string& key, const std::string& value) override {
    const std::string temporary = absl::StrCat(PathOf(key), ".new");
    std::ofstream(temporary, std::ios::binary) << value;
    std::filesystem::rename(temporary, PathOf(key));
    return absl::OkStatus();
  }
  absl::StatusOr<std::string> Get(const std::string& key,
                                  std::chrono::milliseconds timeout) override {
    if (absl::Status found = Wait({key}, timeout); !found.ok()) return found;
    std::ifstream file(PathOf(key), std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }
  absl::Status Wait(const std::vector<std::string>& keys,
                    std::chrono::milliseconds timeout) override {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    for (const std::string& key : keys) {
      while (!std::filesystem::exists(PathOf(key))) {
        if (std::chrono::steady_clock::now() > deadline) {
          return absl::DeadlineExceededError(key);
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    }
    return absl::OkStatus();
  }

 private:
  std::string PathOf(std::string key) const {
    for (char& c : key) {
      if (c == '/') c = '_';
    }
    return absl::StrCat(folder_, "/", key);
  }

  std::string folder_;
  pid_t owner_;
};

}  // namespace quatrain
