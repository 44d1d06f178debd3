#include "common/rabbitmq/amqp_values.h"

#include "common/base/check.h"

namespace sluice::rabbitmq {

amqp_bytes_t bytes_of(std::string_view text) {
  // rabbitmq-c does not write through it.
  return {text.size(), const_cast<char*>(text.data())};
}

std::string string_of(amqp_bytes_t bytes) {
  return std::string(static_cast<const char*>(bytes.bytes), bytes.len);
}

amqp_table_t ValuePool::table(const AmqpTable& table) {
  amqp_table_t out{0, nullptr};
  if (table.empty()) return out;
  out.entries =
      static_cast<amqp_table_entry_t*>(amqp_pool_alloc(&pool_, table.size() * sizeof(amqp_table_entry_t)));
  SLUICE_CHECK(out.entries != nullptr);
  for (const auto& [key, value] : table) {
    amqp_table_entry_t& entry = out.entries[out.num_entries++];
    entry.key = bytes_of(key);
    if (const auto* flag = std::get_if<bool>(&value)) {
      entry.value.kind = AMQP_FIELD_KIND_BOOLEAN;
      entry.value.value.boolean = *flag ? 1 : 0;
    } else if (const auto* number = std::get_if<std::int64_t>(&value)) {
      entry.value.kind = AMQP_FIELD_KIND_I64;
      entry.value.value.i64 = *number;
    } else {
      entry.value.kind = AMQP_FIELD_KIND_UTF8;
      entry.value.value.bytes = bytes_of(std::get<std::string>(value));
    }
  }
  return out;
}

amqp_table_entry_t entry_of(const char* key, amqp_table_t table) {
  amqp_table_entry_t entry{};
  entry.key = amqp_cstring_bytes(key);
  entry.value.kind = AMQP_FIELD_KIND_TABLE;
  entry.value.value.table = table;
  return entry;
}

amqp_table_entry_t entry_of(const char* key, std::string_view text) {
  amqp_table_entry_t entry{};
  entry.key = amqp_cstring_bytes(key);
  entry.value.kind = AMQP_FIELD_KIND_UTF8;
  entry.value.value.bytes = bytes_of(text);
  return entry;
}

AmqpTable table_of(const amqp_table_t& table) {
  AmqpTable out;
  for (int i = 0; i < table.num_entries; ++i) {
    const amqp_field_value_t& value = table.entries[i].value;
    AmqpValue taken;
    switch (value.kind) {
      case AMQP_FIELD_KIND_BOOLEAN:
        taken = value.value.boolean != 0;
        break;
      case AMQP_FIELD_KIND_I8:
        taken = static_cast<std::int64_t>(value.value.i8);
        break;
      case AMQP_FIELD_KIND_U8:
        taken = static_cast<std::int64_t>(value.value.u8);
        break;
      case AMQP_FIELD_KIND_I16:
        taken = static_cast<std::int64_t>(value.value.i16);
        break;
      case AMQP_FIELD_KIND_U16:
        taken = static_cast<std::int64_t>(value.value.u16);
        break;
      case AMQP_FIELD_KIND_I32:
        taken = static_cast<std::int64_t>(value.value.i32);
        break;
      case AMQP_FIELD_KIND_U32:
        taken = static_cast<std::int64_t>(value.value.u32);
        break;
      case AMQP_FIELD_KIND_I64:
        taken = value.value.i64;
        break;
      case AMQP_FIELD_KIND_U64:
      case AMQP_FIELD_KIND_TIMESTAMP:
        taken = static_cast<std::int64_t>(value.value.u64);
        break;
      case AMQP_FIELD_KIND_UTF8:
      case AMQP_FIELD_KIND_BYTES:
        taken = string_of(value.value.bytes);
        break;
      default:
        continue;
    }
    out[string_of(table.entries[i].key)] = std::move(taken);
  }
  return out;
}

void read_properties(const amqp_basic_properties_t& properties, Delivery& delivery) {
  const auto has = [&](amqp_flags_t flag) { return (properties._flags & flag) != 0; };
  if (has(AMQP_BASIC_CONTENT_TYPE_FLAG)) delivery.content_type = string_of(properties.content_type);
  if (has(AMQP_BASIC_MESSAGE_ID_FLAG)) delivery.message_id = string_of(properties.message_id);
  if (has(AMQP_BASIC_TYPE_FLAG)) delivery.type = string_of(properties.type);
  if (!has(AMQP_BASIC_HEADERS_FLAG)) return;
  delivery.headers = table_of(properties.headers);
  if (const auto count = delivery.headers.find("x-delivery-count"); count != delivery.headers.end()) {
    if (const auto* number = std::get_if<std::int64_t>(&count->second)) delivery.delivery_count = *number;
  }
}

}  // namespace sluice::rabbitmq
