-- What the load balancer does to each request and answer that Envoy has no setting for. The route's metadata
-- says what, as `settings`: drop_invalid, sticky {cookie, seconds, groups}, redirect {protocol, host, port, path,
-- query, status}.

local CHOSEN = "x-switchyard-group"
local MOST = 2147483647
math.randomseed(os.time())

local function fresh()
  local random = math.random
  return string.format("1-%08x-%08x%08x%08x", os.time(), random(0, MOST), random(0, MOST), random(0, MOST))
end

-- A root for who has none; a Self beside somebody else's root.
local function trace(headers)
  local given = headers:get("x-amzn-trace-id")
  local id = fresh()
  if given == nil or given == "" then
    headers:replace("x-amzn-trace-id", "Root=" .. id)
  elseif string.find(given, "Root=", 1, true) then
    local rest = string.gsub(given, "Self=[^;]*;?", "")
    headers:replace("x-amzn-trace-id", "Self=" .. id .. ";" .. rest)
  else
    headers:replace("x-amzn-trace-id", "Root=" .. id .. ";" .. given)
  end
end

local function drop_invalid(headers)
  local bad = {}
  for name in pairs(headers) do
    if not string.find(name, "^:?[%w-]+$") then bad[#bad + 1] = name end
  end
  for _, name in ipairs(bad) do headers:remove(name) end
end

-- The target group of a cookie that is still valid and known to the rule.
local function remembered(headers, sticky)
  local cookies = ";" .. string.gsub(headers:get("cookie") or "", "%s", "")
  local first = string.find(cookies, ";" .. sticky.cookie .. "=", 1, true)
  if first == nil then return nil end
  local value = string.match(cookies, "^[^;]*", first + #sticky.cookie + 2)
  local group, expires = string.match(value, "^(%x+)%.(%d+)$")
  if group and sticky.groups[group] and tonumber(expires) > os.time() then return group end
  return nil
end

local function redirect(handle, headers, to)
  local authority = headers:get(":authority") or ""
  local host = string.match(authority, "^(%[[^%]]*%])") or string.match(authority, "^[^:]*")
  local path, query = string.match(headers:get(":path"), "^/?([^?]*)%??(.*)$")
  local values = { protocol = to.scheme, host = host, port = to.own_port, path = path, query = query }
  local function filled(text) return (string.gsub(text, "#{(%a+)}", values)) end
  local location = string.lower(filled(to.protocol)) .. "://" .. filled(to.host) .. ":" .. filled(to.port)
      .. filled(to.path)
  local asked = filled(to.query)
  if asked ~= "" then location = location .. "?" .. asked end
  handle:respond({
    [":status"] = to.status, ["location"] = location, ["server"] = "awselb/2.0", ["content-type"] = "text/html",
  }, "")
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local forged = headers:get(CHOSEN) ~= nil
  if forged then headers:remove(CHOSEN) end
  local group = nil
  -- One look for all settings: each one that crosses over from Envoy costs time, and most routes have none.
  local settings = handle:metadata():get("settings")
  if settings ~= nil then
    if settings.redirect then return redirect(handle, headers, settings.redirect) end
    if settings.drop_invalid then drop_invalid(headers) end
    group = settings.sticky and remembered(headers, settings.sticky)
    if group then headers:add(CHOSEN, group) end
  end
  trace(headers)
  if group or forged then handle:clearRouteCache() end
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local group = headers:get(CHOSEN)
  if group == nil then return end
  headers:remove(CHOSEN)
  local settings = handle:metadata():get("settings")
  local sticky = settings and settings.sticky
  if not sticky then return end
  local expires = os.time() + sticky.seconds
  headers:add("set-cookie", string.format(
    "%s=%s.%d; Expires=%s; Path=/", sticky.cookie, group, expires, os.date("!%a, %d %b %Y %H:%M:%S GMT", expires)
  ))
end
