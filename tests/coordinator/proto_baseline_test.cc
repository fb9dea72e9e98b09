// The public contract may grow, but not change. The baseline is what clients
// were built with; after an addition it is made anew, with the command that
// docs/api.md gives.

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "gtest/gtest.h"
#include "quatrain/v1/admin.pb.h"
#include "quatrain/v1/inference.pb.h"
#include "quatrain/v1/model.pb.h"

namespace quatrain {
namespace {

namespace pb = google::protobuf;

// Collects what the first pool has and the second lacks or has otherwise.
class Comparison {
 public:
  explicit Comparison(const pb::DescriptorPool* now) : now_(now) {}

  void Compare(const pb::FileDescriptor& file) {
    for (int i = 0; i < file.message_type_count(); ++i)
      Compare(*file.message_type(i));
    for (int i = 0; i < file.enum_type_count(); ++i)
      Compare(*file.enum_type(i));
    for (int i = 0; i < file.service_count(); ++i) Compare(*file.service(i));
  }

  const std::vector<std::string>& differences() const { return differences_; }

 private:
  void Compare(const pb::Descriptor& before) {
    const auto* after = now_->FindMessageTypeByName(before.full_name());
    if (!after) return Missing(before.full_name());
    for (int i = 0; i < before.field_count(); ++i)
      Compare(*before.field(i), *after);
    for (int i = 0; i < before.nested_type_count(); ++i)
      Compare(*before.nested_type(i));
    for (int i = 0; i < before.enum_type_count(); ++i)
      Compare(*before.enum_type(i));
  }

  void Compare(const pb::FieldDescriptor& before, const pb::Descriptor& type) {
    const auto* after = type.FindFieldByNumber(before.number());
    if (!after) return Missing(before.full_name());
    if (Signature(*after) != Signature(before))
      differences_.push_back(Signature(before) + " is now " +
                             Signature(*after));
  }

  static std::string Signature(const pb::FieldDescriptor& field) {
    std::ostringstream out;
    out << field.full_name() << " = " << field.number() << " "
        << field.type_name() << " label " << field.label();
    if (field.message_type()) out << " " << field.message_type()->full_name();
    if (field.enum_type()) out << " " << field.enum_type()->full_name();
    if (field.real_containing_oneof())
      out << " in " << field.real_containing_oneof()->name();
    if (field.has_presence()) out << " with presence";
    return out.str();
  }

  void Compare(const pb::EnumDescriptor& before) {
    const auto* after = now_->FindEnumTypeByName(before.full_name());
    if (!after) return Missing(before.full_name());
    for (int i = 0; i < before.value_count(); ++i) {
      const auto* value = after->FindValueByName(before.value(i)->name());
      if (!value || value->number() != before.value(i)->number())
        Missing(before.value(i)->full_name());
    }
  }

  void Compare(const pb::ServiceDescriptor& before) {
    const auto* after = now_->FindServiceByName(before.full_name());
    if (!after) return Missing(before.full_name());
    for (int i = 0; i < before.method_count(); ++i) {
      const auto& method = *before.method(i);
      const auto* now = after->FindMethodByName(method.name());
      if (!now || Signature(*now) != Signature(method))
        Missing(Signature(method));
    }
  }

  static std::string Signature(const pb::MethodDescriptor& method) {
    std::ostringstream out;
    out << method.full_name() << "("
        << (method.client_streaming() ? "stream " : "")
        << method.input_type()->full_name() << ") returns ("
        << (method.server_streaming() ? "stream " : "")
        << method.output_type()->full_name() << ")";
    return out.str();
  }

  void Missing(const std::string& what) {
    differences_.push_back(what + " is missing or changed");
  }

  const pb::DescriptorPool* now_;
  std::vector<std::string> differences_;
};

pb::FileDescriptorSet ReadBaseline() {
  std::ifstream file("proto/baseline/quatrain.v1.binpb", std::ios::binary);
  pb::FileDescriptorSet baseline;
  EXPECT_TRUE(baseline.ParseFromIstream(&file));
  return baseline;
}

std::vector<std::string> Differences(const pb::FileDescriptorSet& before,
                                     const pb::DescriptorPool* now) {
  pb::DescriptorPool pool;
  Comparison comparison(now);
  for (const auto& proto : before.file()) {
    const auto* file = pool.BuildFile(proto);
    if (!file) return {"cannot build " + proto.name()};
    if (proto.package() != "google.protobuf") comparison.Compare(*file);
  }
  return comparison.differences();
}

// Linked, therefore registered.
void LinkPublicProtos() {
  v1::GenerateRequest::descriptor();
  v1::GetModelRequest::descriptor();
  v1::DrainRequest::descriptor();
  google::rpc::Status::descriptor();
  google::rpc::ErrorInfo::descriptor();
}

TEST(ProtoBaselineTest, NothingWasRemovedOrChanged) {
  LinkPublicProtos();
  const auto baseline = ReadBaseline();
  ASSERT_GE(baseline.file_size(), 5);
  EXPECT_THAT(Differences(baseline, pb::DescriptorPool::generated_pool()),
              testing::IsEmpty());
}

// The comparison itself: each kind of change is found.
class ChangedBaselineTest : public testing::Test {
 protected:
  pb::DescriptorProto* Message(const std::string& name) {
    for (auto& file : *baseline_.mutable_file()) {
      for (auto& message : *file.mutable_message_type()) {
        if (message.name() == name) return &message;
      }
    }
    return nullptr;
  }
  std::vector<std::string> Found() {
    LinkPublicProtos();
    return Differences(baseline_, pb::DescriptorPool::generated_pool());
  }

  pb::FileDescriptorSet baseline_ = ReadBaseline();
};

TEST_F(ChangedBaselineTest, ARenumberedField) {
  Message("TokenIds")->mutable_field(0)->set_number(9);
  EXPECT_THAT(Found(), testing::SizeIs(1));
}

TEST_F(ChangedBaselineTest, ARenamedField) {
  Message("TokenIds")->mutable_field(0)->set_name("was");
  EXPECT_THAT(Found(), testing::SizeIs(1));
}

TEST_F(ChangedBaselineTest, AnotherType) {
  Message("TokenIds")
      ->mutable_field(0)
      ->set_type(pb::FieldDescriptorProto::TYPE_SINT32);
  EXPECT_THAT(Found(), testing::SizeIs(1));
}

TEST_F(ChangedBaselineTest, LostPresence) {
  auto* usage = Message("Usage");
  usage->mutable_field(0)->set_proto3_optional(true);
  usage->mutable_field(0)->set_oneof_index(0);
  usage->add_oneof_decl()->set_name("_prompt_tokens");
  EXPECT_THAT(Found(), testing::SizeIs(1));
}

TEST_F(ChangedBaselineTest, ARemovedMethod) {
  for (auto& file : *baseline_.mutable_file()) {
    if (file.service_size() == 0) continue;
    *file.mutable_service(0)->add_method() = file.service(0).method(0);
    file.mutable_service(0)
        ->mutable_method(file.service(0).method_size() - 1)
        ->set_name("Gone");
    break;
  }
  EXPECT_THAT(Found(), testing::SizeIs(1));
}

}  // namespace
}  // namespace quatrain
