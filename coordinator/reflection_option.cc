#include "coordinator/reflection_option.h"

#include "grpcpp/ext/proto_server_reflection_plugin.h"

namespace quatrain {

void ReflectionOption::UpdatePlugins(
    std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) {
  auto reflection =
      std::make_unique<grpc::reflection::ProtoServerReflectionPlugin>();
  const auto is_reflection = [&](const auto& plugin) {
    return plugin->name() == reflection->name();
  };
  std::erase_if(*plugins, is_reflection);
  if (enabled_) plugins->push_back(std::move(reflection));
}

}  // namespace quatrain
