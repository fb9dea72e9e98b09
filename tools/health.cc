#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "tools/command.h"
#include "tools/health_client.h"

namespace quatrain {
namespace {

struct Options {
  std::string address;
  std::string service;
  int wait_seconds = 0;
};

int Run(const Options& options) {
  const auto channel =
      grpc::CreateChannel(options.address, grpc::InsecureChannelCredentials());
  const auto deadline = std::chrono::steady_clock::now() +
                        std::chrono::seconds(options.wait_seconds);
  for (;;) {
    const absl::Status status = CheckHealth(channel, options.service);
    if (status.ok()) {
      std::printf("SERVING\n");
      return kExitOk;
    }
    if (std::chrono::steady_clock::now() >= deadline)
      return Fail(kExitFailure,
                  absl::UnavailableError(absl::StrCat(
                      options.address, ": ", std::string(status.message()))));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

}  // namespace

RunCommand AddHealth(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("ADDRESS", options->address, "host:port of a gRPC server")
      ->required();
  app.add_option("--service", options->service,
                 "the service to ask for; empty is the whole server");
  app.add_option("--wait", options->wait_seconds,
                 "seconds to go on asking until it serves")
      ->check(CLI::Range(0, 1 << 20));
  return [options] { return Run(*options); };
}

}  // namespace quatrain
