#pragma once

#include <memory>
#include <vector>

#include "grpcpp/impl/server_builder_option.h"
#include "grpcpp/impl/server_builder_plugin.h"

namespace quatrain {

// Whether one server answers reflection. gRPC's reflection library adds itself
// to every server of a process that links it; every server of ours says what it
// wants:
//   builder.SetOption(std::make_unique<ReflectionOption>(false));
class ReflectionOption final : public grpc::ServerBuilderOption {
 public:
  explicit ReflectionOption(bool enabled) : enabled_(enabled) {}

  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>*
                         plugins) override;

 private:
  const bool enabled_;
};

}  // namespace quatrain
