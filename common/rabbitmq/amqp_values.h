// Our values as rabbitmq-c's and back. The only header that includes amqp.h: for .cpp files of this folder.
#pragma once

#include <amqp.h>
#include <amqp_framing.h>

#include <string>
#include <string_view>

#include "common/rabbitmq/message.h"

namespace sluice::rabbitmq {

// Borrows from `text`.
amqp_bytes_t bytes_of(std::string_view text);
std::string string_of(amqp_bytes_t bytes);

// Owns what tables made from it point to; strings in them are borrowed from the AmqpTable.
class ValuePool {
 public:
  ValuePool() { init_amqp_pool(&pool_, 1024); }
  ~ValuePool() { empty_amqp_pool(&pool_); }
  ValuePool(const ValuePool&) = delete;
  ValuePool& operator=(const ValuePool&) = delete;
  amqp_table_t table(const AmqpTable& table);

 private:
  amqp_pool_t pool_;
};

amqp_table_entry_t entry_of(const char* key, amqp_table_t table);
amqp_table_entry_t entry_of(const char* key, std::string_view text);  // Borrows from `text`.

// Booleans, integers and strings; anything nested is left out.
AmqpTable table_of(const amqp_table_t& table);
void read_properties(const amqp_basic_properties_t& properties, Delivery& delivery);

}  // namespace sluice::rabbitmq
