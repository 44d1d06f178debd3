// The templates of settings.h: included there and nowhere else.
#pragma once

#include "common/config/settings.h"

namespace sluice::config {

namespace detail {

template <class T>
Result<T> parse_as(std::string_view text) {
  if constexpr (IsOptional<T>::value) {
    return parse_as<typename T::value_type>(text).map([](auto value) { return T(std::move(value)); });
  } else if constexpr (std::is_same_v<T, bool>) {
    return parse_bool(text);
  } else if constexpr (std::is_integral_v<T>) {
    auto wide = [text] {
      if constexpr (std::is_unsigned_v<T>) return parse_unsigned(text);
      if constexpr (std::is_signed_v<T>) return parse_integer(text);
    }();
    if (!wide) return fail(std::move(wide).error());
    if (!std::in_range<T>(*wide)) {
      return fail(ErrorCode::kInvalid, "must be " + std::to_string(std::numeric_limits<T>::min()) + " to " +
                                           std::to_string(std::numeric_limits<T>::max()));
    }
    return static_cast<T>(*wide);
  } else if constexpr (std::is_floating_point_v<T>) {
    return parse_number(text).map([](double value) { return static_cast<T>(value); });
  } else if constexpr (std::is_same_v<T, ByteSize>) {
    return parse_size(text);
  } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
    return parse_list(text);
  } else if constexpr (IsDuration<T>::value) {
    SLUICE_ASSIGN(const std::chrono::nanoseconds exact, parse_duration(text));
    const T value = std::chrono::duration_cast<T>(exact);
    if (std::chrono::nanoseconds(value) != exact) {
      return fail(ErrorCode::kInvalid, "must be a multiple of " + format_duration(T(1)));
    }
    return value;
  } else if constexpr (std::is_same_v<T, Secret>) {
    return Secret(std::string(text));
  } else {
    static_assert(std::is_same_v<T, std::string>, "no reader for settings of this type");
    return std::string(text);
  }
}

template <class T>
std::string show_as(const T& value) {
  if constexpr (IsOptional<T>::value) {
    return value ? show_as(*value) : std::string();
  } else if constexpr (std::is_same_v<T, bool>) {
    return value ? "true" : "false";
  } else if constexpr (std::is_integral_v<T>) {
    return std::to_string(value);
  } else if constexpr (std::is_floating_point_v<T>) {
    return format_number(value);
  } else if constexpr (std::is_same_v<T, ByteSize>) {
    return format_size(value);
  } else if constexpr (IsDuration<T>::value) {
    return format_duration(value);
  } else if constexpr (std::is_same_v<T, Secret>) {
    return value.empty() ? std::string() : std::string(kMask);
  } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
    std::string text;
    for (const std::string& item : value) text += (text.empty() ? "" : ",") + item;
    return text;
  } else {
    return value;
  }
}

template <class T>
std::string kind_of() {
  if constexpr (IsOptional<T>::value) {
    return kind_of<typename T::value_type>();
  } else if constexpr (std::is_same_v<T, bool>) {
    return "bool";
  } else if constexpr (std::is_integral_v<T>) {
    return "integer";
  } else if constexpr (std::is_floating_point_v<T>) {
    return "number";
  } else if constexpr (std::is_same_v<T, ByteSize>) {
    return "size";
  } else if constexpr (IsDuration<T>::value) {
    return "duration";
  } else if constexpr (std::is_same_v<T, Secret>) {
    return "secret";
  } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
    return "list";
  } else {
    return "text";
  }
}

template <class T>
bool is_secret() {
  if constexpr (IsOptional<T>::value) return is_secret<typename T::value_type>();
  return std::is_same_v<T, Secret>;
}

}  // namespace detail

template <class T>
Binding<T> Settings::bind_entry(std::string name, T& field, std::string help, std::string kind,
                                std::function<Result<T>(std::string_view)> parse,
                                std::function<std::string(const T&)> show) {
  auto checks = std::make_shared<std::vector<std::function<Status(const T&)>>>();
  detail::Entry entry;
  entry.name = std::move(name);
  entry.help = std::move(help);
  entry.kind = std::move(kind);
  entry.is_bool = std::is_same_v<T, bool>;
  entry.is_secret = detail::is_secret<T>();
  entry.assign = [&field, checks, parse = std::move(parse)](std::string_view text) -> Status {
    SLUICE_ASSIGN(T value, parse(text));
    for (const auto& check : *checks) SLUICE_TRY(check(value));
    field = std::move(value);
    return {};
  };
  entry.show = [&field, show = std::move(show)] { return show(field); };
  return Binding<T>(add_entry(std::move(entry)), checks);
}

template <class T>
Binding<T> Settings::add(std::string name, T& field, std::string help) {
  return bind_entry<T>(std::move(name), field, std::move(help), detail::kind_of<T>(), &detail::parse_as<T>,
                       &detail::show_as<T>);
}

template <std::integral T>
Binding<T> Settings::add_size(std::string name, T& field, std::string help) {
  return bind_entry<T>(
      std::move(name), field, std::move(help), "size",
      [](std::string_view text) -> Result<T> {
        SLUICE_ASSIGN(const ByteSize size, parse_size(text));
        if (!std::in_range<T>(size.bytes)) {
          return fail(ErrorCode::kInvalid,
                      "must be at most " + std::to_string(std::numeric_limits<T>::max()));
        }
        return static_cast<T>(size.bytes);
      },
      [](const T& value) { return format_size(ByteSize{static_cast<std::uint64_t>(value)}); });
}

template <class E>
Binding<E> Settings::add_enum(std::string name, E& field, std::vector<std::pair<std::string, E>> choices,
                              std::string help) {
  std::string kind;
  for (const auto& [choice, value] : choices) kind += (kind.empty() ? "" : "|") + choice;
  return bind_entry<E>(
      std::move(name), field, std::move(help), kind,
      [choices, kind](std::string_view text) -> Result<E> {
        for (const auto& [choice, value] : choices) {
          if (choice == text) return value;
        }
        return fail(ErrorCode::kInvalid, "must be one of " + kind);
      },
      [choices](const E& value) {
        for (const auto& [choice, known] : choices) {
          if (known == value) return choice;
        }
        return std::string();
      });
}

}  // namespace sluice::config
